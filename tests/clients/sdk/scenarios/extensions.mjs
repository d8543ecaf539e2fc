// Our own methods, and what only some clients are told.
import { CAPABILITIES, assert, edit, reply, scenario } from "../kit.mjs";

const TEXT = "one\ntwo\nthree\n";
const PATCH = "--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";

scenario("_mux: the methods are advertised in _meta", async (t) => {
    const client = await t.start([]);
    const text = JSON.stringify([client.initialized._meta, client.initialized.agentCapabilities._meta]);
    for (const name of ["ping", "health", "stats", "list_files", "apply_patch", "undo"])
        assert.ok(text.includes(`_mux/${name}`) || text.includes(`"${name}"`), `${name} is not in ${text}`);
});

scenario("_mux/ping and _mux/health answer while a model generates", { sample: true }, async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(2000), { delay: 5, piece: 10 })]);
    const turn = client.prompt(session.id, "Talk");
    await client.until(() => client.text(session.id), "the first words");
    for (let i = 0; i < 20; i++) assert.ok(await client.agent.request("_mux/ping", {}));
    assert.ok(typeof (await client.agent.request("_mux/health", {})) === "object");
    assert.ok(typeof (await client.agent.request("_mux/stats", {})) === "object");
    await client.cancel(session.id);
    assert.equal((await turn).stopReason, "cancelled");
});

scenario("_mux/list_files lists what the workspace holds", async (t) => {
    t.git();
    t.file("src/a.c", "int a;\n");
    t.file(".gitignore", "*.o\n");
    t.file("src/a.o", "binary");
    const [client, session] = await t.open([]);
    const result = await client.agent.request("_mux/list_files", { sessionId: session.id });
    const text = JSON.stringify(result);
    assert.ok(text.includes("src/a.c"), text);
    assert.ok(!text.includes("src/a.o"), text);
    const answer = await client.ask("_mux/list_files", { sessionId: "none" });
    assert.equal(answer.error?.code, -32002);
});

scenario("_mux/apply_patch and _mux/undo, all or nothing", { sample: true }, async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([]);
    const bad = await client.ask("_mux/apply_patch", { sessionId: session.id, patch: PATCH.replace("-two", "-twelve") });
    assert.ok(bad.error?.message.length > 10);
    assert.equal(t.read("a.txt"), TEXT);
    await client.agent.request("_mux/apply_patch", { sessionId: session.id, patch: PATCH });
    assert.equal(t.read("a.txt"), TEXT.replace("two", "zwei"));
    await client.agent.request("_mux/undo", { sessionId: session.id });
    assert.equal(t.read("a.txt"), TEXT);
    const missing = await client.ask("_mux/apply_patch", { sessionId: session.id });
    assert.equal(missing.error?.code, -32602);
    assert.match(JSON.stringify(missing.error.data), /patch/);
});

scenario("_mux/apply_patch is refused while a turn runs", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([reply("word word\n".repeat(2000), { delay: 5, piece: 10 })]);
    const turn = client.prompt(session.id, "Talk");
    await client.until(() => client.text(session.id), "the first words");
    const answer = await client.ask("_mux/apply_patch", { sessionId: session.id, patch: PATCH });
    assert.ok(answer.error, JSON.stringify(answer));
    assert.equal(t.read("a.txt"), TEXT);
    await client.cancel(session.id);
    await turn;
});

scenario("notices go only to clients that show them", async (t) => {
    for (const notices of [{}, undefined]) {
        const [client, session] = await t.open(["Fine."], {
            capabilities: { ...CAPABILITIES, session: { ...CAPABILITIES.session, notices } },
            session: { mcpServers: [{ name: "broken", command: "/nonexistent/program", args: [], env: [] }] },
        });
        await client.prompt(session.id, "Say fine");
        const told = client.of(session.id, "notice");
        if (notices === undefined) assert.equal(told.length, 0);
        for (const notice of told) assert.ok(notice.title.length > 0);
    }
});

scenario("a client without any capability is told of nothing it does not know", { sample: true }, async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([edit("a.txt", "two", "zwei"), "Fine."], { capabilities: {} });
    await client.prompt(session.id, "In a.txt write two in German");
    await client.prompt(session.id, "/compact");
    assert.ok(session.configOptions.every((one) => one.type === "select"));
    const kinds = new Set(client.updates.map(({ update }) => update.sessionUpdate));
    for (const kind of ["notice", "compaction_update", "compaction_summary_chunk", "plan_update"]) assert.ok(!kinds.has(kind), kind);
    const methods = new Set(client.requests.map(({ method }) => method));
    assert.deepEqual([...methods], ["session/request_permission"]);
});

scenario("a prompt's report says what it cost, in _meta", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    const answer = await client.prompt(session.id, "Say fine");
    const text = JSON.stringify([answer._meta, client.of(session.id, "usage_update").at(-1)?._meta]);
    for (const word of ["prompt", "cached"]) assert.ok(text.includes(word), `${word} is not in ${text}`);
});

scenario("stderr is quiet in a day without trouble", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    await client.prompt(session.id, "Say fine");
    await client.finish();
    assert.equal(client.stderr, "");
});
