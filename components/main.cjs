/** Where Pulumi enters the package when a program in another language uses it. */
require("tsx/cjs");

module.exports = require("./index.ts");
