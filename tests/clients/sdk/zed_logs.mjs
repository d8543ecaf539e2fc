// Makes the logs of tests/transcripts/zed: conversations as an editor's log view copies them (one array, directions as
// the editor sees them, answers with the method of their request). node zed_logs.mjs --agent PATH
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { choose, to } from "./client.mjs";
import { Test, call, edit, reply } from "./kit.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../../transcripts/zed");
const { values } = parseArgs({ options: { agent: { type: "string", default: join(here, "../../../build/release/mux-acp") } } });

// What the editor says of itself.
const INITIALIZE = {
    protocolVersion: 1,
    clientCapabilities: {
        fs: { readTextFile: true, writeTextFile: true },
        terminal: true,
        auth: { terminal: true },
        session: { configOptions: { boolean: {} } },
        elicitation: { form: {}, url: {} },
        _meta: { terminal_output: true, "terminal-auth": true },
    },
    clientInfo: { name: "zed", title: "Zed", version: "1.14.0" },
};

const FREE = edit("src/cart.c", "#define FREE_SHIPPING_FROM 5000", "#define FREE_SHIPPING_FROM 4000");
const CENTS = edit("src/cart.c", "#define SHIPPING_CENTS 490", "#define SHIPPING_CENTS 350");
const TITLE = edit("README.md", "# Shop", "# The shop");

/** One recorded line as the log view shows it. */
function row(entry, methods) {
    const message = entry.msg;
    const _direction = entry.dir === "in" ? "outgoing" : "incoming";
    const key = (direction) => `${direction} ${JSON.stringify(message.id)}`;
    if (message.method && "id" in message) {
        methods.set(key(entry.dir), message.method);
        return { _direction, _type: "request", id: message.id, method: message.method, params: message.params };
    }
    if (message.method) return { _direction, _type: "notification", id: null, method: message.method, params: message.params };
    const method = methods.get(key(entry.dir === "in" ? "out" : "in"));
    return { _direction, _type: "response", id: message.id, method, params: message.error ?? message.result };
}

function rowsOf(path, replacements) {
    let text = readFileSync(path, "utf8");
    for (const [was, is] of replacements) text = text.replaceAll(was, is);
    let sessions = 0;
    const names = new Map();
    text = text.replace(/mux-[0-9a-f]{16}/g, (id) => {
        if (!names.has(id)) names.set(id, `mux-5e5510000000000${++sessions}`);
        return names.get(id);
    });
    text = text.replace(/undo \d+-[0-9a-z]+/g, "undo 1-abcdef");
    const methods = new Map();
    return text
        .trim()
        .split("\n")
        .map((line) => row(JSON.parse(line), methods));
}

/** The rows; a log that cannot be made is named and leaves the others alone. */
async function make(name, ...rest) {
    try {
        return await makeLog(name, ...rest);
    } catch (error) {
        console.error(`${name}: ${error.message}`);
        process.exitCode = 1;
        return [];
    }
}

async function makeLog(name, replies, live, change = (rows) => rows) {
    const test = new Test(resolve(values.agent), name);
    try {
        return await liveThrough(test, name, replies, live, change);
    } finally {
        for (const client of test.clients) await client.kill();
        rmSync(test.root, { recursive: true, force: true });
    }
}

async function liveThrough(test, name, replies, live, change) {
    cpSync(join(out, "shop"), test.ws, { recursive: true });
    const record = join(test.root, "record.jsonl");
    const model = test.script(...replies);
    const client = test.spawn(null, ["--model", `script:${model}`, "--record", record]);
    await client.agent.request(to.initialize, INITIALIZE);
    await live(client, test);
    const status = await client.finish();
    if (status !== 0 || client.problems.length) throw new Error(`ended with ${status} ${client.problems.join("\n")}`);
    const rows = rowsOf(record, [
        [test.ws, "/home/ana/shop"],
        [model, `/home/ana/models/${name}.txt`],
    ]);
    write(name, change(rows), readFileSync(model));
    return rows;
}

function write(name, rows, model) {
    writeFileSync(join(out, `${name}.json`), `${JSON.stringify(rows, null, 2)}\n`);
    writeFileSync(join(out, `${name}.model.txt`), model);
    console.log(`${name}: ${rows.length} messages`);
}

mkdirSync(out, { recursive: true });

const REVIEW = [
    reply(`Free shipping starts at 40 euros now.\n\n${FREE}`, { when: "Make shipping free" }),
    reply("Then it stays as it was. Is there anything else?", { when: "rather not" }),
];
const review = await make("review", REVIEW, async (client, test) => {
    const session = await client.newSession(test.ws);
    await client.prompt(session.id, [
        { type: "text", text: "Make shipping free from 40 euros on in " },
        { type: "resource_link", uri: `file://${test.path("src/cart.c")}`, name: "cart.c" },
    ]);
    cpSync(join(out, "shop/src/cart.c"), test.path("src/cart.c")); // Reject
    await client.prompt(session.id, "I would rather not.");
});

const PERMISSION = [reply(FREE, { when: "from 40" }), reply(CENTS, { when: "to 350" }), reply(TITLE, { when: "title" })];
const permission = await make(
    "permission",
    PERMISSION,
    async (client, test) => {
        const session = await client.newSession(test.ws);
        client.permit = choose("reject_once");
        await client.prompt(session.id, "In src/cart.c make shipping free from 40 euros on");
        client.permit = choose("allow_always");
        await client.prompt(session.id, "In src/cart.c change SHIPPING_CENTS to 350");
        await client.prompt(session.id, "In README.md the title shall be The shop");
    },
);

await make("cancel", [reply(FREE, { when: "from 40" }), reply("Nothing was changed.", { when: "changed" })], async (client, test) => {
    const session = await client.newSession(test.ws);
    let release;
    client.permit = () => new Promise((answer) => (release = () => answer({ outcome: { outcome: "cancelled" } })));
    const turn = client.prompt(session.id, "In src/cart.c make shipping free from 40 euros on");
    await client.until(() => release, "the question");
    await client.cancel(session.id);
    release();
    await turn;
    await client.prompt(session.id, "What was changed?");
});

await make(
    "load",
    [reply(`Done.\n\n${FREE}`, { when: "from 40" }), reply("You asked about shipping.", { when: "What did I" })],
    async (client, test) => {
        const session = await client.newSession(test.ws);
        await client.prompt(session.id, "In src/cart.c make shipping free from 40 euros on");
        await client.agent.request(to.session.close, { sessionId: session.id });
        await client.agent.request(to.session.list, { cwd: test.ws });
        await client.agent.request(to.session.load, { sessionId: session.id, cwd: test.ws, mcpServers: [] });
        await client.prompt(session.id, "What did I ask?");
        const fork = await client.agent.request(to.session.fork, { sessionId: session.id, cwd: test.ws, mcpServers: [] });
        await client.agent.request(to.session.setTitle, { sessionId: fork.sessionId, title: "Shipping" });
        await client.agent.request(to.session.delete, { sessionId: session.id });
    },
);

await make("error", [reply("All is well.", { when: "How is" })], async (client, test) => {
    const session = await client.newSession(test.ws);
    const text = { type: "text", text: "What is this?" };
    const quiet = (promise) => promise.catch(() => {});
    await quiet(client.agent.request(to.session.load, { sessionId: "no-such-session", cwd: test.ws, mcpServers: [] }));
    await quiet(client.prompt(session.id, [text, { type: "image", data: "AAAA", mimeType: "image/png" }]));
    await quiet(client.prompt(session.id, [text]));
    await quiet(client.agent.request(to.session.setMode, { sessionId: session.id, modeId: "yolo" }));
    await client.prompt(session.id, "How is it going?");
});

await make(
    "stderr",
    [reply(`Two files.\n\n${CENTS}\n${TITLE}`, { when: "350" })],
    async (client, test) => {
        const session = await client.newSession(test.ws);
        await client.option(session.id, "mode", "auto");
        await client.prompt(session.id, "Shipping costs 350 cents; the title is The shop");
    },
    (rows) =>
        rows.flatMap((one, i) =>
            i % 4 === 1 ? [one, { _direction: "stderr", _type: "stderr", id: null, method: null, params: `warning: line ${i} of the agent` }] : [one],
        ),
);

await make(
    "tools",
    [
        reply(call("run_shell", { command: "wc -l src/cart.c" }), { when: "How long" }),
        reply("It has 28 lines."),
        reply(`Two places.\n\n${FREE}\n${edit("src/cart.c", "    return cents;", "    return cents; /* without shipping */")}`, { when: "comment" }),
    ],
    async (client, test) => {
        const session = await client.newSession(test.ws);
        await client.prompt(session.id, "How long is src/cart.c?");
        await client.option(session.id, "grain", "hunk");
        client.elicit = ({ requestedSchema }) => {
            const content = {};
            for (const [name, rule] of Object.entries(requestedSchema.properties)) {
                if (rule.type === "boolean") content[name] = true;
                else if (rule.type === "array") content[name] = (rule.items.anyOf ?? rule.items.oneOf ?? []).map((one) => one.const).slice(0, 1);
                else if (rule.enum || rule.oneOf) content[name] = rule.default ?? rule.oneOf?.[0].const ?? rule.enum[0];
            }
            return { action: "accept", content };
        };
        await client.prompt(session.id, "In src/cart.c free shipping from 4000 on, and a comment at the total");
    },
);

// The ring's edge: the first messages are gone, the log begins in the middle of the first turn.
const second = review.findLastIndex((one) => one.method === "session/prompt" && one._type === "request");
write("edge", permission.slice(permission.findIndex((one) => one.method === "session/prompt") + 3), PERMISSION.join(""));

// The log was copied while the agent was still at work.
write("unfinished", review.slice(0, second + 2), REVIEW.join(""));

// Another word of the agent in the log than it says now.
const other = JSON.parse(JSON.stringify(review).replaceAll("Free shipping starts at 40 euros now.", "Free shipping starts at 39 euros now."));
write("differs", other, REVIEW.join(""));
