// Tools of the model: files, a shell in the client's terminal, MCP servers.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CAPABILITIES, assert, call, reply, scenario } from "../kit.mjs";
import { choose } from "../client.mjs";

const NO_TERMINAL = { ...CAPABILITIES, terminal: false };

scenario("tools: the model reads a file and answers with what is in it", { sample: true }, async (t) => {
    t.file("secret.txt", "the word is plover\n");
    const [client, session] = await t.open([
        `I will look.\n${call("read_files", { paths: ["secret.txt"] })}`,
        reply("It says plover.", { when: "plover" }),
        reply("I could not read it."),
    ]);
    const { stopReason } = await client.prompt(session.id, "What does the file say?");
    assert.equal(stopReason, "end_turn");
    assert.match(client.text(session.id), /It says plover\./);
    assert.ok(!client.text(session.id).includes("tool_call"), "the call itself is not shown");
    const tool = client.tools(session.id).find((one) => one.name === "read_files");
    assert.equal(tool?.kind, "read");
    assert.equal(tool.status, "completed");
    assert.ok(client.editor.reads.includes(t.path("secret.txt")));
});

scenario("tools: search and list_files", async (t) => {
    t.file("src/parser.c", "int parse_number(void) { return 4711; }\n");
    const [client, session] = await t.open([
        call("search", { pattern: "parse_number" }),
        call("list_files", {}),
        "Seen.",
    ]);
    await client.prompt(session.id, "Where is it?");
    assert.match(client.text(session.id), /Seen\./);
    const kinds = client.tools(session.id).filter((one) => one.name);
    assert.deepEqual(kinds.map((one) => one.name), ["search", "list_files"]);
    for (const one of kinds) {
        assert.equal(one.status, "completed");
        assert.ok(one.content?.length, "nothing is shown of it");
    }
});

scenario("tools: an unknown tool, broken arguments and a file outside fail alone", async (t) => {
    const [client, session] = await t.open([
        call("launch_rocket", {}),
        "<tool_call>\n{\"name\": \"read_files\", \"arguments\": {\"paths\": [\n</tool_call>",
        call("read_files", { paths: ["../../../../etc/passwd"] }),
        "I give up.",
    ]);
    const { stopReason } = await client.prompt(session.id, "Try");
    assert.equal(stopReason, "end_turn");
    assert.match(client.text(session.id), /I give up/);
    assert.ok(!client.editor.reads.some((path) => path.endsWith("/etc/passwd")));
});

scenario("tools: the same call again and again is stopped", async (t) => {
    t.file("a.txt", "one\n");
    const [client, session] = await t.open([reply(call("read_files", { paths: ["a.txt"] }), { repeat: true })]);
    const { stopReason } = await client.prompt(session.id, "Loop");
    assert.ok(["end_turn", "max_turn_requests"].includes(stopReason), stopReason);
    assert.ok(client.tools(session.id).length < 60);
});

scenario("shell: with permission, in the client's terminal, released at the end", { sample: true }, async (t) => {
    const [client, session] = await t.open([
        call("run_shell", { command: "echo shell-$((40 + 2)); exit 3" }),
        reply("It said 42.", { when: "shell-42" }),
        reply("I did not hear it."),
    ]);
    const { stopReason } = await client.prompt(session.id, "Run it");
    assert.equal(stopReason, "end_turn");
    assert.match(client.text(session.id), /It said 42\./);
    assert.equal(client.asked("session/request_permission").length, 1);
    assert.equal(client.terminals.created.length, 1);
    await client.until(() => client.terminals.open === 0, "the terminal's release");
    const tool = client.tools(session.id).find((one) => one.kind === "execute");
    assert.ok(tool?.content.some((one) => one.type === "terminal"), "the terminal is shown in the call");
});

scenario("shell: refused, nothing runs", async (t) => {
    const [client, session] = await t.open([call("run_shell", { command: "touch ran" }), "As you like."]);
    client.permit = choose("reject_once");
    const { stopReason } = await client.prompt(session.id, "Run it");
    assert.equal(stopReason, "end_turn");
    assert.equal(client.terminals.created.length, 0);
    assert.ok(!t.exists("ran"));
    assert.match(client.text(session.id), /As you like/);
});

scenario("shell: without the client's terminal there is none", async (t) => {
    const [client, session] = await t.open([call("run_shell", { command: "touch ran" }), "Not here."], { capabilities: NO_TERMINAL });
    const { stopReason } = await client.prompt(session.id, "Run it");
    assert.equal(stopReason, "end_turn");
    assert.ok(!t.exists("ran"));
    assert.equal(client.asked("terminal/create").length, 0);
});

scenario("shell: cancelled while it runs, it is killed and released", async (t) => {
    const [client, session] = await t.open([call("run_shell", { command: "sleep 100" }), "Done."]);
    const turn = client.prompt(session.id, "Run it");
    await client.until(() => client.terminals.created.length, "the terminal");
    await client.cancel(session.id);
    assert.equal((await turn).stopReason, "cancelled");
    await client.until(() => client.terminals.open === 0, "the terminal's release");
});

scenario("plan mode: no shell runs", async (t) => {
    const [client, session] = await t.open([call("run_shell", { command: "touch ran" }), "I only look."]);
    await client.agent.request("session/set_mode", { sessionId: session.id, modeId: "plan" });
    const { stopReason } = await client.prompt(session.id, "Run it");
    assert.equal(stopReason, "end_turn");
    assert.ok(!t.exists("ran"));
});

// A Model Context Protocol server in a few lines: one tool that adds, one that never answers, one that dies.
const SERVER = `
import { createInterface } from "node:readline";
const say = (message) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\\n");
const object = (properties) => ({ type: "object", properties });
const tools = [
    { name: "add", description: "Adds two numbers", inputSchema: object({ a: { type: "number" }, b: { type: "number" } }) },
    { name: "die", description: "Ends the server", inputSchema: object({}) },
    { name: "hang", description: "Never answers", inputSchema: object({}) },
];
createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, method, params } = JSON.parse(line);
    if (method === "initialize")
        say({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "sums", version: "1" } } });
    else if (method === "tools/list") say({ id, result: { tools } });
    else if (method === "tools/call" && params.name === "add")
        say({ id, result: { content: [{ type: "text", text: "the sum is " + (params.arguments.a + params.arguments.b) + process.env.UNIT }] } });
    else if (method === "tools/call" && params.name === "die") process.exit(1);
    else if (method === "ping") say({ id, result: {} });
});
`;

function server(t) {
    const path = join(t.root, "server.mjs");
    writeFileSync(path, SERVER);
    return { name: "sums", command: process.execPath, args: [path], env: [{ name: "UNIT", value: "-eggs" }] };
}

/** The server's tools go by a name that holds theirs; the model is told which. */
const variants = (name) => [`sums__${name}`, `mcp__sums__${name}`, `sums_${name}`, `sums.${name}`, name];

scenario("mcp: a server's tool is called, with permission", { sample: true }, async (t) => {
    const [client, session] = await t.open(
        [...variants("add").map((name) => reply(call(name, { a: 40, b: 2 }))), reply("None worked."), reply("Fine.", { when: "42-eggs" })],
        { session: { mcpServers: [server(t)] } },
    );
    const { stopReason } = await client.prompt(session.id, "Add 40 and 2");
    assert.equal(stopReason, "end_turn");
    assert.match(client.text(session.id), /Fine\./);
    assert.ok(client.tools(session.id).some((one) => JSON.stringify(one.content ?? one.rawOutput ?? "").includes("42-eggs")));
    assert.ok(client.asked("session/request_permission").length >= 1);
});

scenario("mcp: a server that dies fails the call, not the turn", async (t) => {
    const [client, session] = await t.open(
        [...variants("die").map((name) => reply(call(name, {}))), reply("It is dead.", { repeat: true })],
        { session: { mcpServers: [server(t)] } },
    );
    const { stopReason } = await client.prompt(session.id, "Die");
    assert.equal(stopReason, "end_turn");
    assert.match(client.text(session.id), /It is dead\./);
});

scenario("mcp: a call that hangs is cancelled", async (t) => {
    const [client, session] = await t.open([...variants("hang").map((name) => reply(call(name, {}))), reply("Nothing.", { repeat: true })], {
        session: { mcpServers: [server(t)] },
    });
    const turn = client.prompt(session.id, "Hang");
    const hanging = () => client.tools(session.id).some((one) => /hang/.test(`${one.name} ${one.title}`) && one.status === "in_progress");
    await client.until(hanging, "the call to run");
    await client.cancel(session.id);
    assert.equal((await turn).stopReason, "cancelled");
});

scenario("mcp: a server that cannot start does not stop the session", async (t) => {
    const broken = { name: "broken", command: "/nonexistent/program", args: [], env: [] };
    const [client, session] = await t.open(["Without it."], { session: { mcpServers: [broken] } });
    const { stopReason } = await client.prompt(session.id, "Say something");
    assert.equal(stopReason, "end_turn");
    assert.match(client.text(session.id), /Without it\./);
    const answer = await client.ask("session/new", { cwd: t.ws, mcpServers: [{ name: "x" }] });
    assert.equal(answer.error?.code, -32602);
});
