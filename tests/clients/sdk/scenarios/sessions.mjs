// Kept sessions: load, resume, list, delete, fork, titles, status.
import { CAPABILITIES, assert, edit, later, optionOf, refused, reply, scenario } from "../kit.mjs";

const TEXT = "one\ntwo\nthree\n";
const EDIT = edit("a.txt", "two", "zwei");
const unknown = "mux-0000000000000000";

/** A session with a turn of text and a turn with an edit, ended with its process. */
async function liveThrough(t, end = "finish") {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([reply("The first answer.", { when: "first question" }), `It is German now.\n\n${EDIT}`]);
    await client.prompt(session.id, "The first question");
    await client.prompt(session.id, "In a.txt write two in German");
    assert.equal(t.read("a.txt"), TEXT.replace("two", "zwei"));
    if (end === "kill") await client.kill();
    else await client.finish();
    return { client, session };
}

function kindsOf(client, id) {
    const kinds = client.of(id).map((update) => update.sessionUpdate);
    return kinds.filter((kind, i) => kind !== kinds[i - 1]);
}

const load = (client, sessionId, cwd, more = {}) => client.agent.request("session/load", { sessionId, cwd, mcpServers: [], ...more });

function checkReplay(t, client, id, upTo) {
    const told = client.updates.slice(0, upTo).filter((one) => one.sessionId === id).map((one) => one.update);
    const users = told.filter((one) => one.sessionUpdate === "user_message_chunk").map((one) => one.content.text);
    assert.deepEqual(users, ["The first question", "In a.txt write two in German"]);
    const text = told.filter((one) => one.sessionUpdate === "agent_message_chunk").map((one) => one.content.text).join("");
    assert.ok(text.indexOf("The first answer.") >= 0 && text.indexOf("It is German now.") > text.indexOf("The first answer."), text);
    const diffs = told.flatMap((one) => (one.content?.filter ? one.content.filter((item) => item.type === "diff") : []));
    assert.ok(
        diffs.some((one) => one.path === t.path("a.txt") && one.oldText === TEXT && one.newText === TEXT.replace("two", "zwei")),
        "the diff is replayed",
    );
    const calls = told.filter((one) => one.sessionUpdate === "tool_call");
    assert.ok(calls.some((one) => one.kind === "edit"), "the edit is a tool call");
    const second = told.findIndex((one) => one.content?.text === "In a.txt write two in German");
    const firstEdit = told.findIndex((one) => one.sessionUpdate === "tool_call" && one.kind === "edit");
    assert.ok(firstEdit > second && second > 0, "in order");
}

scenario("load: all that was said and done comes again, in order, before the answer", { sample: true }, async (t) => {
    const { session } = await liveThrough(t);
    const client = await t.start(["Going on."]);
    const result = await load(client, session.id, t.ws);
    checkReplay(t, client, session.id, client.answers.at(-1).at);
    assert.equal(optionOf(result.configOptions, "mode").currentValue, "ask");
    assert.equal((await client.prompt(session.id, "Go on")).stopReason, "end_turn");
});

scenario("load: tool calls come as they ended, none is left open", async (t) => {
    const { session } = await liveThrough(t);
    const client = await t.start([]);
    await load(client, session.id, t.ws);
    for (const call of client.tools(session.id)) assert.ok(["completed", "failed"].includes(call.status), `${call.title}: ${call.status}`);
});

scenario("load: an agent that was killed has kept what was said", { sample: true }, async (t) => {
    const { session } = await liveThrough(t, "kill");
    const client = await t.start(["Going on."]);
    await load(client, session.id, t.ws);
    checkReplay(t, client, session.id, client.answers.at(-1).at);
    assert.equal((await client.prompt(session.id, "Go on")).stopReason, "end_turn");
});

scenario("load: killed in the middle of a turn, what was complete is there", async (t) => {
    const [client, session] = await t.open([reply("The first answer."), reply("word word\n".repeat(2000), { delay: 5, piece: 10 })]);
    await client.prompt(session.id, "The first question");
    const turn = client.prompt(session.id, "Talk for long");
    turn.catch(() => {});
    await client.until(() => client.text(session.id).includes("word"), "the first words");
    await client.kill();
    const next = await t.start(["Fresh."]);
    await load(next, session.id, t.ws);
    const users = next.of(session.id, "user_message_chunk").map((one) => one.content.text);
    assert.deepEqual(users, ["The first question", "Talk for long"]);
    assert.match(next.text(session.id), /The first answer\./);
    assert.equal((await next.prompt(session.id, "Again")).stopReason, "end_turn");
});

scenario("load: the model sees what was said before", async (t) => {
    const [client, session] = await t.open(["The password is swordfish-99."]);
    await client.prompt(session.id, "Say the password");
    await client.finish();
    const next = await t.start([reply("As I said.")]);
    await load(next, session.id, t.ws);
    await next.prompt(session.id, "What was it?");
    assert.match(next.text(session.id), /As I said/);
    const usage = next.of(session.id, "usage_update").at(-1);
    assert.ok(usage.used > 0);
});

scenario("load: options are kept", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    await client.agent.request("session/set_mode", { sessionId: session.id, modeId: "auto" });
    await client.prompt(session.id, "Say fine");
    await client.finish();
    const next = await t.start([]);
    const result = await load(next, session.id, t.ws);
    assert.equal(optionOf(result.configOptions, "mode").currentValue, "auto");
    assert.equal(result.modes?.currentModeId ?? "auto", "auto");
});

scenario("load: an unknown session and bad params", async (t) => {
    const client = await t.start([]);
    await refused(load(client, unknown, t.ws), -32002);
    await refused(load(client, "../../etc/passwd", t.ws), -32002);
    for (const [params, field] of [
        [{ cwd: t.ws, mcpServers: [] }, /sessionId/],
        [{ sessionId: unknown, mcpServers: [] }, /cwd/],
        [{ sessionId: 5, cwd: t.ws, mcpServers: [] }, /sessionId/],
        [{ sessionId: unknown, cwd: t.ws }, /mcpServers/],
    ]) {
        const answer = await client.ask("session/load", params);
        assert.equal(answer.error?.code, -32602, JSON.stringify(params));
        assert.match(JSON.stringify(answer.error.data), field);
    }
});

scenario("resume: nothing is replayed, the conversation goes on", { sample: true }, async (t) => {
    const { session } = await liveThrough(t);
    const client = await t.start(["Going on."]);
    const result = await client.agent.request("session/resume", { sessionId: session.id, cwd: t.ws, mcpServers: [] });
    assert.ok(optionOf(result.configOptions, "mode"));
    await later(100);
    for (const kind of kindsOf(client, session.id)) assert.ok(!/chunk|tool_call|plan/.test(kind), `${kind} was replayed`);
    assert.equal((await client.prompt(session.id, "Go on")).stopReason, "end_turn");
    await refused(client.agent.request("session/resume", { sessionId: unknown, cwd: t.ws, mcpServers: [] }), -32002);
});

scenario("resume: without mcpServers, which are optional there", async (t) => {
    const { session } = await liveThrough(t);
    const client = await t.start([]);
    const answer = await client.ask("session/resume", { sessionId: session.id, cwd: t.ws });
    assert.ok(answer.result, JSON.stringify(answer.error));
});

async function listAll(client, params = {}) {
    const all = [];
    const sizes = [];
    for (let cursor; ; ) {
        const page = await client.agent.request("session/list", { ...params, ...(cursor ? { cursor } : {}) });
        all.push(...page.sessions);
        sizes.push(page.sessions.length);
        cursor = page.nextCursor;
        if (!cursor) return { all, sizes };
        assert.ok(sizes.length < 100, "the list has no end");
    }
}

scenario("list: sessions with a prompt, last used first, with title, folder and time", { sample: true }, async (t) => {
    const client = await t.start([reply("Fine.", { repeat: true })]);
    const [one, two] = [await client.newSession(t.ws), await client.newSession(t.ws)];
    const idle = await client.newSession(t.ws);
    await client.agent.request("session/close", { sessionId: idle.id }); // nothing was asked in it
    await client.prompt(one.id, "Explain the parser");
    await later(20);
    await client.prompt(two.id, "Explain the lexer");
    const { all } = await listAll(client);
    assert.deepEqual(all.map((item) => item.sessionId), [two.id, one.id]);
    assert.equal(all[0].cwd, t.ws);
    assert.match(all[0].title, /lexer/i);
    assert.ok(!Number.isNaN(Date.parse(all[0].updatedAt)), all[0].updatedAt);
});

scenario("list: many sessions come in pages, each once; cwd filters; cursors are checked", async (t) => {
    const other = t.folder("other");
    const client = await t.start([reply("Fine.", { repeat: true })]);
    const ids = new Set();
    for (let i = 0; i < 120; i++) {
        const session = await client.newSession(i % 10 === 0 ? other : t.ws);
        await client.prompt(session.id, `Question ${i}`);
        await client.agent.request("session/close", { sessionId: session.id });
        ids.add(session.id);
    }
    const { all, sizes } = await listAll(client);
    assert.equal(all.length, 120);
    assert.deepEqual(new Set(all.map((item) => item.sessionId)), ids);
    assert.ok(sizes.length > 1, "one page of 120");
    assert.equal((await listAll(client, { cwd: other })).all.length, 12);
    assert.equal((await listAll(client, { cwd: t.home })).all.length, 0);
    await refused(client.agent.request("session/list", { cursor: "no cursor" }), -32602, /cursor/);
    await refused(client.agent.request("session/list", { cwd: "relative" }), -32602, /cwd/);
});

scenario("delete: gone from list and load; twice is fine", { sample: true }, async (t) => {
    const { session } = await liveThrough(t);
    const client = await t.start([]);
    assert.equal((await listAll(client)).all.length, 1);
    for (let i = 0; i < 2; i++) {
        const answer = await client.ask("session/delete", { sessionId: session.id });
        assert.deepEqual(answer.result, {});
    }
    assert.equal((await listAll(client)).all.length, 0);
    await refused(load(client, session.id, t.ws), -32002);
});

scenario("delete: an open session with a running turn", async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(2000), { delay: 5, piece: 10 })]);
    const turn = client.prompt(session.id, "Talk");
    await client.until(() => client.text(session.id), "the first words");
    await client.agent.request("session/delete", { sessionId: session.id });
    const outcome = await turn.then((answer) => answer.stopReason);
    assert.equal(outcome, "cancelled");
    await refused(load(client, session.id, t.ws), -32002);
    assert.equal((await listAll(client)).all.length, 0);
});

scenario("fork: a new session with all that was said; the old one goes its own way", { sample: true }, async (t) => {
    const { session } = await liveThrough(t);
    const client = await t.start([reply("In the fork.", { when: "the fork" }), reply("In the old one.", { when: "the old one" })]);
    const fork = await client.agent.request("session/fork", { sessionId: session.id, cwd: t.ws, mcpServers: [] });
    assert.notEqual(fork.sessionId, session.id);
    assert.ok(optionOf(fork.configOptions, "mode"));
    await client.prompt(fork.sessionId, "Where is the fork?");
    assert.match(client.text(fork.sessionId), /In the fork\./);
    await load(client, session.id, t.ws);
    assert.ok(!client.of(session.id, "user_message_chunk").some((one) => /fork/.test(one.content.text)));
    await client.prompt(session.id, "Where is the old one?");
    await client.finish();
    const next = await t.start([]);
    await load(next, fork.sessionId, t.ws);
    const users = next.of(fork.sessionId, "user_message_chunk").map((one) => one.content.text);
    assert.deepEqual(users, ["The first question", "In a.txt write two in German", "Where is the fork?"]);
    await refused(next.agent.request("session/fork", { sessionId: unknown, cwd: t.ws, mcpServers: [] }), -32002);
});

scenario("set_title: kept, told, listed; bad ones are refused", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    await client.prompt(session.id, "Explain the parser");
    const { title } = await client.agent.request("session/set_title", { sessionId: session.id, title: "  My own\ttitle ü " });
    assert.match(title, /My own.title ü/);
    assert.equal((await listAll(client)).all[0].title, title);
    await refused(client.agent.request("session/set_title", { sessionId: unknown, title: "x" }), -32002);
    for (const bad of [{ sessionId: session.id }, { sessionId: session.id, title: 4 }, { sessionId: session.id, title: "  " }])
        assert.equal((await client.ask("session/set_title", bad)).error?.code, -32602, JSON.stringify(bad));
    const long = await client.agent.request("session/set_title", { sessionId: session.id, title: "ü".repeat(5000) });
    assert.ok(long.title.length > 0 && long.title.length <= 5000);
});

scenario("titles: a session gets one of its first prompt and keeps the user's", async (t) => {
    const [client, session] = await t.open([reply("Fine.", { repeat: true })]);
    await client.prompt(session.id, "Explain the parser to me, please");
    const titles = () => client.of(session.id, "session_info_update").map((one) => one.title).filter(Boolean);
    assert.ok(titles().length >= 1, "no session_info_update");
    assert.match(titles().at(-1), /parser/i);
    await client.agent.request("session/set_title", { sessionId: session.id, title: "Mine" });
    await client.prompt(session.id, "And the lexer?");
    assert.equal((await listAll(client)).all[0].title, "Mine");
});

scenario("status: open, saved, unknown", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    const status = (sessionId) => client.agent.request("session/status", { sessionId });
    assert.deepEqual(await status(session.id), { status: "open" });
    await client.prompt(session.id, "Say fine");
    await client.agent.request("session/close", { sessionId: session.id });
    assert.deepEqual(await status(session.id), { status: "saved" });
    await refused(status(unknown), -32002);
});

scenario("close: the session can be loaded again in the same process", async (t) => {
    const [client, session] = await t.open([reply("Fine.", { repeat: true })]);
    await client.prompt(session.id, "The question");
    await client.agent.request("session/close", { sessionId: session.id });
    await refused(client.prompt(session.id, "Closed?"), -32002);
    await load(client, session.id, t.ws);
    assert.deepEqual(client.of(session.id, "user_message_chunk").map((one) => one.content.text), ["The question"]);
    assert.equal((await client.prompt(session.id, "Open again")).stopReason, "end_turn");
});

scenario("unknown sessions are refused with -32002 by every method", { sample: true }, async (t) => {
    const client = await t.start([]);
    for (const [method, params] of [
        ["session/prompt", { prompt: [{ type: "text", text: "x" }] }],
        ["session/close", {}],
        ["session/set_mode", { modeId: "ask" }],
        ["session/set_config_option", { configId: "mode", value: "ask" }],
        ["session/load", { cwd: t.ws, mcpServers: [] }],
        ["session/resume", { cwd: t.ws }],
        ["session/fork", { cwd: t.ws }],
        ["session/status", {}],
        ["session/set_title", { title: "x" }],
    ]) {
        const answer = await client.ask(method, { sessionId: unknown, ...params });
        assert.equal(answer.error?.code, -32002, `${method}: ${JSON.stringify(answer.error)}`);
        assert.ok(answer.error.message.length > 10);
    }
});

scenario("a session without an editor's files is loaded by one that has them, and back", async (t) => {
    t.file("a.txt", TEXT);
    const bare = { ...CAPABILITIES, fs: undefined };
    const [client, session] = await t.open([EDIT], { capabilities: bare });
    await client.prompt(session.id, "In a.txt write two in German");
    await client.finish();
    const next = await t.start([edit("a.txt", "three", "drei")]);
    await load(next, session.id, t.ws);
    await next.prompt(session.id, "In a.txt write three in German");
    assert.equal(next.editor.writes.length, 1);
    assert.equal(t.read("a.txt"), "one\nzwei\ndrei\n");
});
