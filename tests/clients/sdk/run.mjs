// node run.mjs [--agent PATH] [--sample] [--list] [--jobs N] [NAME...]   (a NAME is a part of a scenario's name)
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        agent: { type: "string", default: process.env.MUX_ACP ?? join(here, "../../../build/release/mux-acp") },
        sample: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        jobs: { type: "string", default: "2" },
        limit: { type: "string", default: "60" },
    },
});

function giveUp(reason) {
    console.log(`skip all: ${reason}`);
    console.log("0 passed, 0 failed, 1 skipped");
    process.exit(0);
}

if (Number(process.versions.node.split(".")[0]) < 20) giveUp(`node ${process.versions.node} is too old, 20 is wanted`);
if (!existsSync(join(here, "node_modules"))) giveUp("the SDK is not installed (npm ci in tests/clients/sdk)");
const { scenarios, Skip, Test } = await import("./scenarios.mjs");
const chosen = scenarios.filter(
    ({ name, sample }) => (!values.sample || sample) && (!positionals.length || positionals.some((one) => name.includes(one))),
);
if (values.list) {
    for (const { name, sample } of chosen) console.log(sample ? `${name} (sample)` : name);
    process.exit(0);
}
const program = resolve(values.agent);
if (!existsSync(program)) {
    console.error(`no agent at ${program}; give one with --agent`);
    process.exit(2);
}

const totals = { passed: 0, failed: 0, skipped: 0, lines: 0 };

/** The message and where in the scenarios it was. */
function accountOf(error) {
    const lines = String(error.stack ?? error).split("\n");
    const places = lines.filter((line) => line.includes("/scenarios/"));
    return [...lines.filter((line) => !/^\s+at /.test(line)).slice(0, 12), ...places].join("\n");
}

async function runOne({ name, run }) {
    const test = new Test(program, name);
    const began = Date.now();
    const failures = [];
    let skipped = null;
    let timer;
    const tooLong = new Promise((_, fail) => {
        timer = setTimeout(() => fail(new Error(`not done after ${values.limit} s`)), Number(values.limit) * 1000);
    });
    try {
        await Promise.race([run(test), tooLong]);
    } catch (error) {
        if (error instanceof Skip) skipped = error.message;
        else failures.push(accountOf(error));
        if (error.data) failures.push(JSON.stringify(error.data));
    }
    clearTimeout(timer);
    failures.push(...(await test.finish(failures.length > 0)));
    totals.lines += test.lines;
    const ms = Date.now() - began;
    if (failures.length) {
        totals.failed++;
        console.log(`FAIL ${name} (${ms} ms)\n     ${failures.join("\n").replaceAll("\n", "\n     ")}`);
    } else if (skipped) {
        totals.skipped++;
        console.log(`skip ${name}: ${skipped}`);
    } else {
        totals.passed++;
        console.log(`ok   ${name} (${ms} ms)`);
    }
}

const queue = [...chosen];
const worker = async () => {
    while (queue.length) await runOne(queue.shift());
};
await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, worker));
console.log(`${totals.lines} lines of the agent checked against the schema`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed || totals.passed + totals.skipped === 0 ? 1 : 0);
