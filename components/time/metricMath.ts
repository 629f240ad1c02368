/**
 * The part of CloudWatch's metric math that alarms on a refresh need: `FILL(id, number)`, `IF(condition, yes, no)`,
 * comparisons, AND and OR. The plan writes such expressions, and its replay, the run on this machine and the
 * policies compute them, so that what is proven is the text that is deployed.
 */

/** Thrown for an expression outside that part. */
export class MetricMathError extends Error {
  override readonly name = "MetricMathError";
}

/** The value of every metric in one period; undefined where it has no data there. */
export type MetricValues = (id: string) => number | undefined;

/** A parsed expression: the values of a period in, its value out; undefined is no data. */
export type MetricMath = (values: MetricValues) => number | undefined;

const TOKEN = /\s*([A-Za-z]\w*|\d+(?:\.\d+)?|<=|>=|==|!=|&&|\|\||[<>(),])/y;

const COMPARISONS: Record<string, (left: number, right: number) => boolean> = {
  "<": (left, right) => left < right,
  "<=": (left, right) => left <= right,
  ">": (left, right) => left > right,
  ">=": (left, right) => left >= right,
  "==": (left, right) => left === right,
  "!=": (left, right) => left !== right,
};

/**
 * Parses an expression.
 * @throws MetricMathError when it uses more of metric math than is known here.
 */
export function parseMetricMath(text: string): MetricMath {
  const tokens = tokensOf(text);
  const refuse = (): never => {
    throw new MetricMathError(`"${text}" uses more of metric math than FILL, IF, comparisons, AND and OR`);
  };
  const takes = (...wanted: string[]): boolean => {
    if (!wanted.includes(tokens[0]?.toUpperCase() ?? "")) return false;
    tokens.shift();
    return true;
  };
  const expect = (token: string): void => void (takes(token) || refuse());

  const either = (): MetricMath => {
    const left = both();
    if (!takes("OR", "||")) return left;
    const right = either();
    return combined(left, right, (a, b) => Number(a !== 0 || b !== 0));
  };
  const both = (): MetricMath => {
    const left = comparison();
    if (!takes("AND", "&&")) return left;
    const right = both();
    return combined(left, right, (a, b) => Number(a !== 0 && b !== 0));
  };
  const comparison = (): MetricMath => {
    const left = operand();
    const compare = COMPARISONS[tokens[0] ?? ""];
    if (compare === undefined) return left;
    tokens.shift();
    return combined(left, operand(), (a, b) => Number(compare(a, b)));
  };
  const operand = (): MetricMath => {
    const token = tokens.shift() ?? refuse();
    if (token === "(") {
      const inner = either();
      expect(")");
      return inner;
    }
    if (/^\d/.test(token)) return () => Number(token);
    if (token.toUpperCase() === "FILL" && takes("(")) {
      const filled = either();
      expect(",");
      const fill = operand();
      expect(")");
      return (values) => filled(values) ?? fill(values);
    }
    if (token.toUpperCase() === "IF" && takes("(")) {
      const condition = either();
      expect(",");
      const yes = either();
      expect(",");
      const no = either();
      expect(")");
      return (values) => {
        const decided = condition(values);
        return decided === undefined ? undefined : decided !== 0 ? yes(values) : no(values);
      };
    }
    return /^[a-z]/.test(token) && tokens[0] !== "(" ? (values) => values(token) : refuse();
  };

  const parsed = either();
  if (tokens.length > 0) refuse();
  return parsed;
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  const trimmed = text.trim();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < trimmed.length) {
    const token = TOKEN.exec(trimmed)?.[1];
    if (token === undefined) throw new MetricMathError(`"${text}" is not metric math that is known here`);
    tokens.push(token);
  }
  return tokens;
}

function combined(
  left: MetricMath,
  right: MetricMath,
  compute: (a: number, b: number) => number,
): MetricMath {
  return (values) => {
    const [a, b] = [left(values), right(values)];
    return a === undefined || b === undefined ? undefined : compute(a, b);
  };
}
