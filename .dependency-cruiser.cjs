/** Who may import whom: one way down, no circle, and the product knows nothing of the run on this machine. */
const from = (path) => ({ path: `^${path}/` });
const anyOf = (...folders) => ({ path: `^(${folders.join("|")})/` });
const rule = (name, comment, source, target) => ({
  name,
  comment,
  severity: "error",
  from: source,
  to: target,
});

module.exports = {
  forbidden: [
    rule("no-circle", "Whoever reads one file of a circle has to read all of them.", {}, { circular: true }),
    rule(
      "time-is-the-ground-floor",
      "Schedules, AWS's limits and the replay are pure and stand on nothing.",
      from("components/time"),
      { path: "^", pathNot: "^components/time/" },
    ),
    rule(
      "settings-know-no-plan",
      "Settings are checked before anything is made of them.",
      from("components/settings"),
      anyOf("components/plan", "components/resources", "components/cost"),
    ),
    rule(
      "the-plan-is-pure",
      "No Pulumi, no AWS, no files: the same settings give the same plan everywhere.",
      anyOf("components/time", "components/settings", "components/plan"),
      { path: "(^components/resources/|node_modules/@pulumi/|^(fs|path|os|child_process)$)" },
    ),
    rule(
      "the-handler-stands-alone",
      "It knows SQL and its environment, and nothing of Pulumi.",
      from("handler"),
      { path: "^(components|incremental|sandbox|migrations|policy|cli|local|bench)/|node_modules/@pulumi/" },
    ),
    rule(
      "the-compiler-knows-the-handler-alone",
      "What it stores is called by the handler; the rest of the product is nothing to it.",
      from("incremental"),
      { path: "^(components|sandbox|migrations|policy|cli|local|bench)/|node_modules/@(pulumi|aws-)" },
    ),
    rule(
      "the-product-knows-no-demo",
      "The run on this machine stands on the product, never the other way round.",
      anyOf("handler", "incremental", "components", "migrations", "policy", "sandbox"),
      anyOf("local", "cli", "bench", "test"),
    ),
    rule(
      "the-page-knows-the-product-alone",
      "It shows anybody's database: of a run on this machine it gets its controls handed in.",
      from("watch"),
      { path: "^(incremental|sandbox|migrations|policy|cli|local|bench)/|node_modules/@(pulumi|aws-)" },
    ),
    rule(
      "the-page-is-nothing-of-what-is-deployed",
      "Neither the function's bundle nor the component package has any of it.",
      anyOf("handler", "incremental", "components", "migrations", "policy", "sandbox"),
      { path: "^watch/|node_modules/(hono|@hono|preact|@preact|uplot)/" },
    ),
    rule(
      "the-page-decides-nothing-of-aws",
      "Of the component it knows time, settings and plan.",
      from("watch"),
      { path: "^components/", pathNot: "^components/(time|settings|plan|cost)/" },
    ),
    rule(
      "the-page-knows-the-contract-alone",
      "It runs in a browser: what it needs of the server is JSON.",
      from("watch/page"),
      {
        path: "^",
        pathNot:
          "^watch/(page/|contract\\.ts$)|node_modules/(preact|@preact|uplot|esbuild)/|^(node:)?(fs|fs/promises|path)$",
      },
    ),
    rule(
      "the-doctor-looks-on",
      "It reads what the product left in the database and decides by the product's own rules; it makes nothing.",
      from("doctor"),
      {
        path: "^(components/resources|sandbox|migrations|policy|cli|local|bench|watch|test)/|node_modules/@(pulumi|aws-)",
      },
    ),
    rule(
      "no-one-sees-the-doctor",
      "What it says is for people: no part of the product stands on it.",
      anyOf("handler", "incremental", "components", "migrations", "policy", "sandbox", "local"),
      anyOf("doctor"),
    ),
    rule(
      "no-one-runs-the-commands",
      "Commands stand on everything else.",
      { pathNot: "^(cli|bench|soak|test)/" },
      anyOf("cli"),
    ),
    rule(
      "the-judge-knows-no-handler",
      "It judges from outside, by what readers see: names and types are all that it shares with what it judges.",
      from("soak/judge"),
      { path: "^(handler|incremental)/", pathNot: "^handler/(names|settings|metricNames)\\.ts$" },
    ),
    rule(
      "nothing-stands-on-the-proof",
      "What is proven does not know how.",
      { pathNot: "^(soak|test)/" },
      anyOf("soak"),
    ),
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(components/node_modules|dist)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
  },
};
