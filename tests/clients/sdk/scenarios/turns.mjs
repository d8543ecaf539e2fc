// Prompts: text, edits, what a prompt may hold.
import { pathToFileURL } from "node:url";
import { CAPABILITIES, assert, edit, later, optionOf, refused, reply, scenario } from "../kit.mjs";

const MAIN = "int main(void) {\n    return 0;\n}\n";
const FIX = edit("a.c", "    return 0;", "    return 1;");
const NO_FILES = { ...CAPABILITIES, fs: { readTextFile: false, writeTextFile: false } };

scenario("prompt: text only", { sample: true }, async (t) => {
    const [client, session] = await t.open(["Nothing to do here."]);
    const answer = await client.prompt(session.id, "Say something");
    assert.equal(answer.stopReason, "end_turn");
    assert.match(client.text(session.id), /Nothing to do here\./);
    assert.deepEqual(client.diffs(session.id), []);
});

scenario("prompt: nothing follows its answer but what belongs to no turn", async (t) => {
    const [client, session] = await t.open([reply("One two three four five six.", { delay: 2, piece: 4 })]);
    await client.prompt(session.id, "Count");
    const { at } = client.answers.at(-1);
    await later(200);
    const late = client.updates.slice(at).map(({ update }) => update.sessionUpdate);
    for (const kind of late) assert.ok(!/chunk|tool_call|plan/.test(kind), `${kind} after the answer`);
});

scenario("prompt: usage is told, and fits", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    await client.prompt(session.id, "Say fine");
    const usage = client.of(session.id, "usage_update").at(-1);
    assert.ok(usage, "no usage_update");
    assert.ok(usage.size > 0 && usage.used > 0 && usage.used <= usage.size, JSON.stringify(usage));
});

scenario("prompt: an edit in ask is shown, allowed and written through the editor", { sample: true }, async (t) => {
    t.file("a.c", MAIN);
    const [client, session] = await t.open([`It returns one now.\n\n${FIX}`]);
    const answer = await client.prompt(session.id, "In a.c change return 0 to return 1");
    assert.equal(answer.stopReason, "end_turn");
    const [question] = client.asked("session/request_permission");
    const diff = question.toolCall.content.find((one) => one.type === "diff");
    assert.deepEqual([diff.path, diff.oldText, diff.newText], [t.path("a.c"), MAIN, MAIN.replace("0", "1")]);
    assert.deepEqual(client.editor.writes, [{ path: t.path("a.c"), content: MAIN.replace("0", "1") }]);
    assert.ok(client.editor.reads.includes(t.path("a.c")), "read before it was written");
    assert.equal(t.read("a.c"), MAIN.replace("0", "1"));
    const edits = client.tools(session.id).filter((one) => one.kind === "edit");
    assert.ok(edits.length && edits.every((one) => one.status === "completed"));
    assert.ok(edits[0].locations.every(({ path }) => path.startsWith("/")));
});

scenario("prompt: an edit in auto is written without a question", { sample: true }, async (t) => {
    t.file("a.c", MAIN);
    const [client, session] = await t.open([`Done.\n\n${FIX}`]);
    await client.agent.request("session/set_mode", { sessionId: session.id, modeId: "auto" });
    await client.prompt(session.id, "In a.c change return 0 to return 1");
    assert.equal(client.asked("session/request_permission").length, 0);
    assert.equal(t.read("a.c"), MAIN.replace("0", "1"));
    assert.equal(client.editor.writes.length, 1);
});

scenario("prompt: an edit in plan is shown and never written", async (t) => {
    t.file("a.c", MAIN);
    const [client, session] = await t.open([`I would do this.\n\n${FIX}`]);
    await client.agent.request("session/set_mode", { sessionId: session.id, modeId: "plan" });
    await client.prompt(session.id, "In a.c change return 0 to return 1");
    assert.equal(client.asked("session/request_permission").length, 0);
    assert.equal(client.editor.writes.length, 0);
    assert.equal(t.read("a.c"), MAIN);
    assert.equal(client.diffs(session.id)[0]?.newText, MAIN.replace("0", "1"));
});

scenario("prompt: several files through the editor's methods", async (t) => {
    t.file("a.c", MAIN);
    t.file("src/b.c", MAIN.replace("main", "other"));
    const [client, session] = await t.open([`Both.\n\n${FIX}\n${edit("src/b.c", "    return 0;", "    return 2;")}`]);
    await client.prompt(session.id, "In a.c return 1, in src/b.c return 2");
    assert.match(t.read("a.c"), /return 1/);
    assert.match(t.read("src/b.c"), /return 2/);
    assert.deepEqual(new Set(client.editor.writes.map(({ path }) => path)), new Set([t.path("a.c"), t.path("src/b.c")]));
});

scenario("prompt: a new file through the editor", async (t) => {
    t.file("a.c", MAIN);
    const [client, session] = await t.open([`New.\n\n${edit("docs/new.md", "", "# New\n\nText.").replace("SEARCH\n\n", "SEARCH\n")}`]);
    await client.prompt(session.id, "Create docs/new.md with a title");
    assert.equal(t.read("docs/new.md"), "# New\n\nText.\n");
    const diff = client.diffs(session.id).find((one) => one.path === t.path("docs/new.md"));
    assert.ok(diff && (diff.oldText === null || diff.oldText === undefined), "a new file has no old text");
});

scenario("prompt: without the editor's methods the files are written on disk", async (t) => {
    t.file("a.c", MAIN);
    const [client, session] = await t.open([`Done.\n\n${FIX}`], { capabilities: NO_FILES });
    await client.prompt(session.id, "In a.c change return 0 to return 1");
    assert.equal(client.editor.reads.length + client.editor.writes.length, 0);
    assert.equal(t.read("a.c"), MAIN.replace("0", "1"));
});

scenario("prompt: the editor's unsaved text is what is edited", async (t) => {
    t.file("a.c", MAIN);
    const [client, session] = await t.open([`Done.\n\n${FIX}`]);
    client.editor.buffers.set(t.path("a.c"), `// not saved yet\n${MAIN}`);
    await client.prompt(session.id, "In a.c change return 0 to return 1");
    assert.equal(t.read("a.c"), `// not saved yet\n${MAIN.replace("0", "1")}`);
});

scenario("prompt: an edit that fits nowhere fails as a tool call or a sentence, not as a dead turn", async (t) => {
    t.file("a.c", MAIN);
    const wrong = edit("a.c", "    return 7;", "    return 8;");
    const [client, session] = await t.open([wrong, wrong, wrong, wrong, wrong, wrong]);
    const answer = await client.prompt(session.id, "In a.c change return 7 to return 8");
    assert.equal(answer.stopReason, "end_turn");
    assert.equal(t.read("a.c"), MAIN);
    assert.ok(client.text(session.id).length > 0, "nothing is said of it");
});

scenario("prompt: a model without a reply ends the turn with an error, the session lives", async (t) => {
    const [client, session] = await t.open([reply("Only this.", { when: "magic" })]);
    const answer = await client.ask("session/prompt", { sessionId: session.id, prompt: [{ type: "text", text: "Say anything" }] });
    assert.ok(answer.error ? answer.error.message.length > 10 : answer.result.stopReason === "end_turn");
    assert.equal((await client.prompt(session.id, "magic words")).stopReason, "end_turn");
    assert.match(client.text(session.id), /Only this\./);
});

scenario("prompt: an embedded resource reaches the model", async (t) => {
    const [client, session] = await t.open([reply("I see it.", { when: "unmistakable-4711" })]);
    const answer = await client.prompt(session.id, [
        { type: "text", text: "What is in " },
        { type: "resource", resource: { uri: pathToFileURL(t.path("notes.txt")).href, mimeType: "text/plain", text: "unmistakable-4711\n" } },
    ]);
    assert.equal(answer.stopReason, "end_turn");
    assert.match(client.text(session.id), /I see it/);
});

scenario("prompt: a link with a line fragment and percent-encoding is read", async (t) => {
    const lines = Array.from({ length: 60 }, (_, i) => `line-${i + 1}-of-many`).join("\n");
    const path = t.file("sub dir/a b%.txt", `${lines}\n`);
    const [client, session] = await t.open([reply("Found it.", { when: "line-31-of-many" })]);
    const uri = `${pathToFileURL(path).href}#L30:32`;
    const answer = await client.prompt(session.id, [
        { type: "text", text: "Explain this: " },
        { type: "resource_link", uri, name: "a b%.txt" },
    ]);
    assert.equal(answer.stopReason, "end_turn");
    assert.match(client.text(session.id), /Found it/);
    assert.ok(client.editor.reads.includes(path), "read through the editor");
});

scenario("prompt: kinds of content that were not offered are refused with the block", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    const text = { type: "text", text: "Look" };
    for (const block of [
        { type: "image", data: "AAAA", mimeType: "image/png" },
        { type: "audio", data: "AAAA", mimeType: "audio/wav" },
    ])
        await refused(client.prompt(session.id, [text, block]), -32602, /prompt\[1\]/);
    for (const prompt of [[], "text", [{ type: "text" }], [{ type: "resource_link", name: "x" }], [7]]) {
        const answer = await client.ask("session/prompt", { sessionId: session.id, prompt });
        assert.equal(answer.error?.code, -32602, JSON.stringify(prompt));
        assert.match(JSON.stringify(answer.error.data), /prompt/);
    }
    assert.equal((await client.prompt(session.id, [text])).stopReason, "end_turn");
});

scenario("prompt: five megabytes of text are taken or refused in a sentence", async (t) => {
    const [client, session] = await t.open([reply("Long.", { repeat: true })]);
    const answer = await client.ask("session/prompt", {
        sessionId: session.id,
        prompt: [{ type: "text", text: `Look at this: ${"lorem ipsum dolor ".repeat(300000)}` }],
    });
    assert.ok(answer.error?.message.length > 10 || answer.result?.stopReason, JSON.stringify(answer).slice(0, 200));
    assert.equal((await client.prompt(session.id, "Short")).stopReason, "end_turn");
});

scenario("prompt: five megabytes of embedded text", async (t) => {
    const [client, session] = await t.open([reply("Long.", { repeat: true })]);
    const text = "all work and no play\n".repeat(250000);
    const answer = await client.ask("session/prompt", {
        sessionId: session.id,
        prompt: [
            { type: "text", text: "What is said here?" },
            { type: "resource", resource: { uri: "file:///tmp/big.txt", text } },
        ],
    });
    assert.ok(answer.error?.message.length > 10 || answer.result?.stopReason);
    assert.equal((await client.prompt(session.id, "Short")).stopReason, "end_turn");
});

scenario("prompt: text beyond ASCII comes in whole characters and goes into files unharmed", async (t) => {
    t.file("ü/grüße.txt", "Grüße aus Köln 🎉\nzwei\n");
    const said = "Schöne Grüße 🎉🚀, 漢字かな — ﷽ 👩‍👩‍👧‍👦.";
    const [client, session] = await t.open([reply(`${said}\n\n${edit("ü/grüße.txt", "Grüße aus Köln 🎉", "Grüße aus Århus 🚀")}`, { piece: 1 })]);
    await client.prompt(session.id, "In ü/grüße.txt the town is Århus");
    assert.ok(client.text(session.id).includes(said), client.text(session.id));
    assert.equal(t.read("ü/grüße.txt"), "Grüße aus Århus 🚀\nzwei\n");
});

scenario("prompt: line ends of a CRLF file stay on disk", async (t) => {
    t.file("a.c", MAIN.replaceAll("\n", "\r\n"));
    const [client, session] = await t.open([`Done.\n\n${FIX}`], { capabilities: NO_FILES });
    await client.prompt(session.id, "In a.c change return 0 to return 1");
    assert.equal(t.read("a.c"), MAIN.replace("0", "1").replaceAll("\n", "\r\n"));
});

scenario("prompt: an editor that shows CRLF files with LF gets LF", async (t) => {
    t.file("a.c", MAIN.replaceAll("\n", "\r\n"));
    const [client, session] = await t.open([`Done.\n\n${FIX}`]);
    client.editor.buffers.set(t.path("a.c"), MAIN);
    await client.prompt(session.id, "In a.c change return 0 to return 1");
    assert.deepEqual(client.editor.writes, [{ path: t.path("a.c"), content: MAIN.replace("0", "1") }]);
});

scenario("prompt: additional directories belong to the session", async (t) => {
    const extra = t.folder("extra");
    const fs = await import("node:fs");
    fs.writeFileSync(`${extra}/lib.c`, "int limit = 10;\n");
    t.file("a.c", MAIN);
    const [client, session] = await t.open([reply("Read.", { when: "int limit = 10" })], {
        session: { additionalDirectories: [extra] },
    });
    const answer = await client.prompt(session.id, [
        { type: "text", text: "What is the limit? " },
        { type: "resource_link", uri: pathToFileURL(`${extra}/lib.c`).href, name: "lib.c" },
    ]);
    assert.equal(answer.stopReason, "end_turn");
    assert.match(client.text(session.id), /Read\./);
});

scenario("two sessions at once: their turns go on side by side and do not mix", { sample: true }, async (t) => {
    const client = await t.start([
        reply("alpha\n".repeat(60), { delay: 3, piece: 12, when: "first" }),
        reply("beta\n".repeat(60), { delay: 3, piece: 12, when: "second" }),
    ]);
    const [one, two] = [await client.newSession(t.ws), await client.newSession(t.ws)];
    const answers = await Promise.all([client.prompt(one.id, "the first"), client.prompt(two.id, "the second")]);
    assert.deepEqual(answers.map((answer) => answer.stopReason), ["end_turn", "end_turn"]);
    assert.match(client.text(one.id), /^\W*(alpha\s*)+$/);
    assert.match(client.text(two.id), /^\W*(beta\s*)+$/);
});

scenario("a second prompt on a busy session is refused and harms nothing", { sample: true }, async (t) => {
    const [client, session] = await t.open([reply("slow slow\n".repeat(100), { delay: 5, piece: 10 })]);
    const first = client.prompt(session.id, "Take your time");
    await client.until(() => client.text(session.id).length > 0, "the first words");
    await refused(client.prompt(session.id, "And now?"), -32600);
    assert.equal((await first).stopReason, "end_turn");
    assert.ok(optionOf(session.configOptions, "mode"));
    assert.match(client.text(session.id), /(slow\s+){200}/);
});

scenario("a refused read or write of the editor fails a tool call, not the turn", async (t) => {
    t.file("a.c", MAIN);
    for (const what of ["write", "read"]) {
        const [client, session] = await t.open([reply(`Done.\n\n${FIX}`, { repeat: true })]);
        client.editor.refuse = (how) => how === what;
        const answer = await client.prompt(session.id, "In a.c change return 0 to return 1");
        assert.equal(answer.stopReason, "end_turn", what);
        assert.equal(t.read("a.c"), MAIN);
        if (what === "write") assert.ok(client.tools(session.id).some((one) => one.status === "failed"), "no failed call");
        assert.match(client.text(session.id) + JSON.stringify(client.tools(session.id)), /ermission denied|refus|denied/i, what);
    }
});
