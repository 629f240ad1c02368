import assert from "node:assert/strict";
import { DISK_FAULTS } from "../../soak/faults/disk";
import { tryFault } from "./faultTrial";
import { useWholeBed } from "./wholeBed";

describe("faults of disk and memory", function () {
  this.timeout(60_000);
  const whole = useWholeBed("full");

  for (const fault of DISK_FAULTS)
    it(`${fault.name}: ${fault.codes[0] ?? "passes"}`, async function () {
      if ((await fault.missing?.(whole.bed())) !== undefined) return this.skip();
      const { runs, struck } = await tryFault(whole.trial, fault, 1);
      assert.notEqual(struck, false);
      // None of them passes unseen while no writer tidies up.
      const said = runs.flatMap(({ lines }) => lines).join("\n");
      assert.match(said, fault.says ?? /./);
      const client = await whole.bed().connect();
      const { rows } = await client.query(
        `SELECT 'tablespace ' || spcname AS left FROM pg_tablespace WHERE spcname ~ 'soak'
         UNION ALL SELECT 'role ' || setconfig::text FROM pg_db_role_setting WHERE setrole = $1::regrole
         UNION ALL SELECT 'setting ' || name FROM pg_file_settings WHERE sourcefile ~ 'auto.conf'`,
        [whole.bed().fn.user],
      );
      assert.deepEqual(rows, []);
    });
});
