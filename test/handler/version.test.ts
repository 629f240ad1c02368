import assert from "node:assert/strict";
import { HANDLER_VERSION } from "../../handler/version";
import { version } from "../../package.json";

describe("the handler's version", () => {
  it("is the project's", () => assert.equal(HANDLER_VERSION, version));
});
