// session/cancel at every moment, and closing in the middle.
import { assert, edit, later, refused, reply, scenario } from "../kit.mjs";
import { choose } from "../client.mjs";

const never = () => new Promise(() => {});
const EDIT = edit("a.txt", "one", "two");

scenario("cancel: in the middle of a reply", { sample: true }, async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(2000), { delay: 5, piece: 10 }), "Fresh."]);
    const turn = client.prompt(session.id, "Talk");
    await client.until(() => client.text(session.id).includes("word"), "the first words");
    await client.cancel(session.id);
    assert.equal((await turn).stopReason, "cancelled");
    const said = client.text(session.id).length;
    await later(100);
    assert.equal(client.text(session.id).length, said, "text after the answer");
    assert.equal((await client.prompt(session.id, "Again")).stopReason, "end_turn");
    assert.match(client.text(session.id), /Fresh\./);
});

scenario("cancel: in a permission, answered by the client with cancelled", { sample: true }, async (t) => {
    t.file("a.txt", "one\n");
    const [client, session] = await t.open([EDIT, "Fresh."]);
    let release;
    client.permit = () => new Promise((resolve) => (release = () => resolve({ outcome: { outcome: "cancelled" } })));
    const turn = client.prompt(session.id, "In a.txt change one to two");
    await client.until(() => release, "the question");
    await client.cancel(session.id);
    release();
    assert.equal((await turn).stopReason, "cancelled");
    assert.equal(t.read("a.txt"), "one\n");
    client.permit = choose("allow_once");
    assert.equal((await client.prompt(session.id, "Again")).stopReason, "end_turn");
});

scenario("cancel: a client that never answers the permission", async (t) => {
    t.file("a.txt", "one\n");
    const [client, session] = await t.open([EDIT, "Fresh."]);
    client.permit = never;
    const turn = client.prompt(session.id, "In a.txt change one to two");
    await client.until(() => client.asked("session/request_permission").length, "the question");
    await client.cancel(session.id);
    assert.equal((await turn).stopReason, "cancelled");
    assert.equal(t.read("a.txt"), "one\n");
    assert.equal((await client.prompt(session.id, "Again")).stopReason, "end_turn");
});

scenario("cancel: a client that never answers a read", async (t) => {
    t.file("a.txt", "one\n");
    const [client, session] = await t.open([EDIT, "Fresh."]);
    const read = client.editor.read;
    client.editor.read = never;
    const turn = client.prompt(session.id, "In a.txt change one to two");
    await client.until(() => client.asked("fs/read_text_file").length, "a read");
    await client.cancel(session.id);
    assert.equal((await turn).stopReason, "cancelled");
    client.editor.read = read;
    assert.equal((await client.prompt(session.id, "Again")).stopReason, "end_turn");
});

scenario("cancel: when idle it does nothing, and unknown sessions are no matter", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    await client.cancel(session.id);
    await client.cancel("no-such-session");
    assert.equal((await client.prompt(session.id, "Talk")).stopReason, "end_turn");
});

scenario("cancel: right behind the prompt", async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(500), { delay: 5, piece: 10, repeat: true })]);
    for (let i = 0; i < 5; i++) {
        const turn = client.prompt(session.id, "Talk");
        await client.cancel(session.id);
        assert.equal((await turn).stopReason, "cancelled");
    }
});

scenario("cancel: one session's turn only", async (t) => {
    const client = await t.start([
        reply("alpha\n".repeat(2000), { delay: 5, piece: 12, when: "first" }),
        reply("beta\n".repeat(200), { delay: 5, piece: 12, when: "second" }),
    ]);
    const [one, two] = [await client.newSession(t.ws), await client.newSession(t.ws)];
    const turns = [client.prompt(one.id, "the first"), client.prompt(two.id, "the second")];
    await client.until(() => client.text(one.id) && client.text(two.id), "both to speak");
    await client.cancel(one.id);
    assert.equal((await turns[0]).stopReason, "cancelled");
    assert.equal((await turns[1]).stopReason, "end_turn");
    assert.match(client.text(two.id), /(beta\s*){200}/);
});

scenario("cancel: $/cancel_request of the prompt is heard too", async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(2000), { delay: 5, piece: 10 })]);
    const stop = new AbortController();
    const turn = client.agent.request(
        "session/prompt",
        { sessionId: session.id, prompt: [{ type: "text", text: "Talk" }] },
        { cancellationSignal: stop.signal },
    );
    await client.until(() => client.text(session.id), "the first words");
    stop.abort();
    const outcome = await turn.then(
        (answer) => answer.stopReason,
        (error) => error.code,
    );
    assert.ok(outcome === "cancelled" || outcome === -32800, String(outcome));
});

scenario("close: in a turn, the prompt is answered first", { sample: true }, async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(2000), { delay: 5, piece: 10 })]);
    const turn = client.prompt(session.id, "Talk");
    await client.until(() => client.text(session.id), "the first words");
    const closed = client.agent.request("session/close", { sessionId: session.id });
    assert.equal((await turn).stopReason, "cancelled");
    await closed;
    await refused(client.prompt(session.id, "Again"), -32002);
});

scenario("the end of input in a turn ends the agent with 0", async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(2000), { delay: 5, piece: 10 })]);
    client.prompt(session.id, "Talk").catch(() => {});
    await client.until(() => client.text(session.id), "the first words");
    assert.equal(await client.finish(), 0);
});

scenario("SIGTERM in a turn ends the agent with 0", async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(2000), { delay: 5, piece: 10 })]);
    client.prompt(session.id, "Talk").catch(() => {});
    await client.until(() => client.text(session.id), "the first words");
    client.child.kill("SIGTERM");
    assert.deepEqual(await client.exit, { code: 0, signal: null });
});
