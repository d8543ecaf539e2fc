// initialize and session/new.
import { assert, optionOf, refused, scenario } from "../kit.mjs";

scenario("initialize: what the agent says of itself", { sample: true }, async (t) => {
    const client = await t.start();
    const { protocolVersion, agentInfo, agentCapabilities, authMethods } = client.initialized;
    assert.equal(protocolVersion, 1);
    assert.equal(agentInfo.name, "mux-acp");
    assert.match(agentInfo.version, /^\d+\.\d+\.\d+/);
    assert.deepEqual(authMethods, []);
    assert.equal(agentCapabilities.loadSession, true);
    assert.equal(agentCapabilities.promptCapabilities.embeddedContext, true);
    assert.ok(!agentCapabilities.promptCapabilities.image);
    for (const name of ["list", "resume", "close", "delete", "additionalDirectories", "fork", "status", "title"])
        assert.ok(agentCapabilities.sessionCapabilities?.[name], `sessionCapabilities.${name}`);
});

scenario("initialize: versions of the future and of the past are answered with ours", async (t) => {
    for (const version of [2, 99, 0]) {
        const client = t.spawn();
        const answer = await client.initialize({}, version);
        assert.equal(answer.protocolVersion, 1, `to ${version}`);
    }
});

scenario("initialize: a client without any capability, and one with unknown ones", async (t) => {
    assert.equal((await t.spawn().initialize({})).protocolVersion, 1);
    const client = t.spawn();
    const answer = await client.ask("initialize", {
        protocolVersion: 1,
        clientCapabilities: { fs: { readTextFile: false, writeTextFile: false, teleport: true }, quantum: {}, _meta: { a: 1 } },
        surplus: [1, 2],
    });
    assert.equal(answer.result.protocolVersion, 1);
});

scenario("initialize: without a version it is refused and the field is named", async (t) => {
    const client = t.spawn();
    const answer = await client.ask("initialize", { clientCapabilities: {} });
    assert.equal(answer.error.code, -32602);
    assert.match(JSON.stringify(answer.error.data), /protocolVersion/);
    assert.equal((await client.initialize()).protocolVersion, 1);
});

scenario("authenticate is refused: there is nothing to log in to", async (t) => {
    const client = await t.start();
    await refused(client.agent.request("authenticate", { methodId: "key" }), -32602);
});

scenario("new: the answer has an id, modes and options", { sample: true }, async (t) => {
    const [, session] = await t.open();
    assert.match(session.id, /^[A-Za-z0-9._-]+$/);
    assert.equal(session.modes.currentModeId, "ask");
    assert.deepEqual(session.modes.availableModes.map((mode) => mode.id), ["ask", "auto", "plan"]);
    assert.equal(optionOf(session.configOptions, "mode").currentValue, "ask");
    assert.ok(optionOf(session.configOptions, "model").currentValue);
});

scenario("new: bad params are refused with -32602 and the field", async (t) => {
    const client = await t.start();
    for (const [params, field] of [
        [{}, /cwd/],
        [{ cwd: t.ws }, /mcpServers/],
        [{ cwd: 7, mcpServers: [] }, /cwd/],
        [{ cwd: "relative", mcpServers: [] }, /cwd/],
        [{ cwd: t.ws, mcpServers: {} }, /mcpServers/],
        [{ cwd: t.ws, mcpServers: [], additionalDirectories: ["relative"] }, /additionalDirectories/],
        [{ cwd: t.ws, mcpServers: [], additionalDirectories: 3 }, /additionalDirectories/],
    ]) {
        const answer = await client.ask("session/new", params);
        assert.equal(answer.error?.code, -32602, JSON.stringify(params));
        assert.match(JSON.stringify(answer.error.data), field);
    }
    const missing = await client.ask("session/new", { cwd: `${t.ws}/none`, mcpServers: [] });
    assert.equal(missing.error?.code, -32602);
    assert.ok((await client.newSession(t.ws)).id);
});

scenario("new: two sessions have two ids; unknown members are passed over", async (t) => {
    const client = await t.start();
    const one = await client.newSession(t.ws, { tomorrow: true, _meta: { x: 1 } });
    const two = await client.newSession(t.ws);
    assert.notEqual(one.id, two.id);
});

scenario("new: nothing is told of a session before its answer; then the commands", { sample: true }, async (t) => {
    const client = await t.start(["Hello."]);
    const session = await client.newSession(t.ws);
    const { at } = client.answers.at(-1);
    assert.equal(client.updates.slice(0, at).length, 0);
    const [commands] = await client.until(
        () => (client.of(session.id, "available_commands_update").length ? client.of(session.id, "available_commands_update") : null),
        "available_commands_update",
    );
    const names = commands.availableCommands.map((one) => one.name);
    for (const name of ["undo", "diff", "map", "search", "files", "model", "compact", "rewind", "status", "help"])
        assert.ok(names.includes(name), `no command ${name} among ${names}`);
    await client.prompt(session.id, "Say hello");
    assert.ok(client.of(session.id, "available_commands_update").length >= 2, "told again at the first prompt");
});

scenario("framing: broken lines, batches and unknown methods do not end the conversation", async (t) => {
    const client = await t.start(["Still here."]);
    const errors = () => client.answers.filter(({ message }) => message.id === null && message.error).map(({ message }) => message.error.code);
    client.write("{not json");
    client.write("[]");
    client.write("");
    client.write('"text"');
    client.write('{"id":5,"method":"initialize"}');
    await client.until(() => errors().length >= 4, "four errors");
    assert.deepEqual(errors(), [-32700, -32600, -32600, -32600]);
    assert.equal((await client.ask("session/no_such", {})).error.code, -32601);
    assert.equal((await client.ask("_someone/else", {})).error.code, -32601);
    client.write('{"jsonrpc":"2.0","method":"_someone/news","params":{}}');
    client.write('{"jsonrpc":"2.0","id":12345,"result":{}}\r');
    const session = await client.newSession(t.ws);
    assert.equal((await client.prompt(session.id, "Are you there?")).stopReason, "end_turn");
});

scenario("framing: ids go back as they came", async (t) => {
    const client = await t.start();
    for (const id of ["text \u00e9", 0, -5, 9007199254740991, "", "7"]) {
        const answer = await client.ask("session/new", { cwd: t.ws, mcpServers: [] }, id);
        assert.deepEqual(answer.id, id);
        assert.ok(answer.result);
    }
});
