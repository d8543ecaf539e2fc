// Slash commands in a prompt.
import { assert, edit, reply, scenario } from "../kit.mjs";

const TEXT = "one\ntwo\nthree\n";
const EDIT = edit("a.txt", "two", "zwei");

async function say(client, session, text) {
    const since = client.updates.length;
    const { stopReason } = await client.prompt(session.id, text);
    assert.equal(stopReason, "end_turn", text);
    return client.text(session.id, since);
}

scenario("/help names every command, without a model", { sample: true }, async (t) => {
    const [client, session] = await t.open([]);
    const text = await say(client, session, "/help");
    for (const name of ["undo", "diff", "map", "search", "files", "model", "compact", "rewind", "status", "help"])
        assert.ok(text.includes(`/${name}`), `/${name} is not in ${text}`);
});

scenario("/undo takes the last change back through the editor", { sample: true }, async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([EDIT]);
    await client.prompt(session.id, "In a.txt write two in German");
    assert.match(t.read("a.txt"), /zwei/);
    await say(client, session, "/undo");
    assert.equal(t.read("a.txt"), TEXT);
    assert.equal(client.editor.writes.at(-1).content, TEXT);
});

scenario("/undo without a change says so", async (t) => {
    const [client, session] = await t.open([]);
    const answer = await client.ask("session/prompt", { sessionId: session.id, prompt: [{ type: "text", text: "/undo" }] });
    assert.ok((answer.error?.message ?? client.text(session.id)).length > 8);
});

scenario("/diff shows what was changed in the session", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([EDIT]);
    assert.ok((await say(client, session, "/diff")).length > 0);
    await client.prompt(session.id, "In a.txt write two in German");
    const since = client.updates.length;
    const text = await say(client, session, "/diff");
    const diffs = client.diffs(session.id, since);
    assert.ok(/-two[^]*\+zwei/.test(text) || diffs.some((one) => /zwei/.test(one.newText)), text);
});

scenario("/status, /files, /search, /map and /model say something true", async (t) => {
    t.file("src/parser.c", "int parse_number(const char *text) { return 0; }\n");
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([]);
    assert.match(await say(client, session, "/status"), /script:|ask|token/i);
    assert.match(await say(client, session, "/files"), /src\/parser\.c/);
    assert.match(await say(client, session, "/files parser*"), /parser\.c/);
    assert.match(await say(client, session, "/search parse_number"), /src\/parser\.c:1/);
    assert.match(await say(client, session, "/map"), /parser\.c/);
    assert.match(await say(client, session, "/model"), /script/);
});

scenario("/rewind: the model forgets the last turns, the kept session does not", async (t) => {
    const [client, session] = await t.open([
        reply("Blue.", { when: "favourite" }),
        reply("You never told me.", { when: "remember" }),
    ]);
    await client.prompt(session.id, "What is your favourite colour?");
    assert.ok((await say(client, session, "/rewind 1")).length > 0);
    assert.match(await say(client, session, "Do you remember?"), /never told/);
    await client.finish();
    const next = await t.start([]);
    await next.agent.request("session/load", { sessionId: session.id, cwd: t.ws, mcpServers: [] });
    const users = next.of(session.id, "user_message_chunk").map((one) => one.content.text);
    assert.deepEqual(users, ["What is your favourite colour?", "/rewind 1", "Do you remember?"]);
});

scenario("/compact replaces what was said by a summary; told only to clients that ask for it", async (t) => {
    const { CAPABILITIES } = await import("../kit.mjs");
    for (const compaction of [{}, undefined]) {
        const [client, session] = await t.open(
            [reply("A long answer. ".repeat(50), { when: "Explain" }), reply("Summary: much was said.", { repeat: true })],
            { capabilities: { ...CAPABILITIES, session: { ...CAPABILITIES.session, compaction } } },
        );
        await client.prompt(session.id, "Explain everything");
        await client.prompt(session.id, "Explain again");
        const { stopReason } = await client.prompt(session.id, "/compact");
        assert.equal(stopReason, "end_turn");
        const told = client.of(session.id, "compaction_update");
        if (compaction) assert.deepEqual([told[0]?.status, told.at(-1)?.status], ["in_progress", "completed"]);
        else assert.equal(told.length, 0);
        assert.equal((await client.prompt(session.id, "Go on")).stopReason, "end_turn");
    }
});

scenario("a path at the beginning of a prompt is no command; unknown commands are told", async (t) => {
    const [client, session] = await t.open([reply("It is a path.", { when: "/usr/bin" }), reply("Something else.", { repeat: true })]);
    assert.match(await say(client, session, "/usr/bin is in my way"), /It is a path/);
    assert.ok((await say(client, session, "/nosuchcommand")).length > 0);
});
