// node records.mjs FOLDER: every line that agents wrote into the records (mux-acp --record) of a folder, against the schema.
// Ends with "N passed, N failed, N skipped", a record each; an unfinished last line is that of an agent that was killed.
import { createReadStream, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { WireCheck } from "./schema.mjs";

async function checkRecord(file) {
    const wire = new WireCheck();
    const problems = [];
    for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
        let row;
        try {
            row = JSON.parse(line);
        } catch {
            break;
        }
        if (row.dir === "in") {
            wire.sent(row.msg);
            continue;
        }
        const problem = wire.check(JSON.stringify(row.msg));
        if (problem) problems.push(`${problem}: ${JSON.stringify(row.msg).slice(0, 300)}`);
    }
    return { count: wire.count, problems };
}

const folder = process.argv[2];
let passed = 0, failed = 0, lines = 0;
for (const name of readdirSync(folder).sort()) {
    const { count, problems } = await checkRecord(join(folder, name));
    lines += count;
    if (problems.length) failed++;
    else passed++;
    for (const problem of problems.slice(0, 5)) console.log(`FAIL ${name}: ${problem}`);
}
console.log(`${lines} lines of the agent checked against the schema`);
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
