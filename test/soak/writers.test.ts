import assert from "node:assert/strict";
import { BookWriters } from "../../soak/bed/writers";
import { Claims } from "../../soak/bed/claims";
import { prepareBooks } from "../../soak/bed/prepare";
import { Dice } from "../../soak/dice";
import { useDatabase } from "../database";
import { until } from "../handler/harness";

for (const mode of ["full", "incremental"] as const) {
  describe(`soak: writers (${mode})`, () => {
    const database = useDatabase({ template: "empty" });

    it("works", async function () {
      this.timeout(60_000);
      await prepareBooks(database.options(), mode);
      const claims = new Claims();
      const writers = new BookWriters({ connection: () => database.options(), dice: new Dice(1), claims });
      const client = await database.connect();
      writers.start();
      const t = Date.now();
      await until(client, "SELECT sum(number) > 200 FROM soak.watermark");
      await writers.transact("day");
      await writers.transact("reload");
      await writers.transact("truncate");
      console.log(Date.now() - t);
      await until(client, "SELECT sum(number) > 400 FROM soak.watermark");
      console.log(Date.now() - t);
      await writers.stop();
      assert.deepEqual(writers.surprises, []);
    });
  });
}
