// Modes and config options.
import { CAPABILITIES, assert, optionOf, refused, reply, scenario, valuesOf } from "../kit.mjs";

const ids = (list) => list.map((one) => one.id);

scenario("set_mode: kept in step with the option; unknown modes are refused", { sample: true }, async (t) => {
    const [client, session] = await t.open(["Fine."]);
    for (const mode of ["plan", "auto", "ask"]) {
        const answer = await client.ask("session/set_mode", { sessionId: session.id, modeId: mode });
        assert.deepEqual(answer.result, {});
        const [update] = client.of(session.id, "config_option_update").slice(-1);
        assert.equal(optionOf(update.configOptions, "mode").currentValue, mode);
    }
    await refused(client.agent.request("session/set_mode", { sessionId: session.id, modeId: "yolo" }), -32602, /modeId/);
});

scenario("set_config_option: every answer is the complete list", { sample: true }, async (t) => {
    const [client, session] = await t.open(["Fine."]);
    const all = ids(session.configOptions);
    assert.ok(all.length >= 3, all.join());
    for (const option of session.configOptions.filter((one) => one.type === "select"))
        for (const value of valuesOf(option)) {
            if (option.category === "model" && value !== option.currentValue) continue;
            const { configOptions } = await client.option(session.id, option.id, value);
            assert.deepEqual(ids(configOptions), all);
            assert.equal(optionOf(configOptions, option.id).currentValue, value);
        }
});

scenario("set_config_option: mode is told as current_mode_update", async (t) => {
    const [client, session] = await t.open([]);
    const { configOptions } = await client.option(session.id, "mode", "auto");
    assert.equal(optionOf(configOptions, "mode").currentValue, "auto");
    await client.until(() => client.of(session.id, "current_mode_update").length, "current_mode_update");
    assert.equal(client.of(session.id, "current_mode_update").at(-1).currentModeId, "auto");
});

scenario("options: every one has a current value among its values, and a category or none", async (t) => {
    const [, session] = await t.open([]);
    for (const option of session.configOptions) {
        if (option.type === "select") assert.ok(valuesOf(option).includes(option.currentValue), option.id);
        else assert.equal(typeof option.currentValue, "boolean", option.id);
        assert.ok(!option.category || /^(mode|model|model_config|thought_level|_.+)$/.test(option.category), option.category);
        assert.ok(option.name.length > 1);
    }
    assert.equal(new Set(ids(session.configOptions)).size, session.configOptions.length);
});

scenario("options: bad values are refused and the field is named", async (t) => {
    const [client, session] = await t.open([]);
    for (const [params, field] of [
        [{ configId: "mode", value: "yolo" }, /value/],
        [{ configId: "mode", value: 3 }, /value/],
        [{ configId: "mode", type: "boolean", value: true }, /value|type/],
        [{ configId: "no_such", value: "x" }, /configId/],
        [{ value: "x" }, /configId/],
        [{ configId: "model", value: "no such model" }, /value/],
        [{ configId: "mode" }, /value/],
    ]) {
        const answer = await client.ask("session/set_config_option", { sessionId: session.id, ...params });
        assert.equal(answer.error?.code, -32602, JSON.stringify(params));
        assert.match(JSON.stringify(answer.error.data), field, JSON.stringify(params));
    }
});

scenario("options: a change in a running turn counts from the next", async (t) => {
    const [client, session] = await t.open([reply("word word\n".repeat(100), { delay: 5, piece: 10 }), "Fine."]);
    const turn = client.prompt(session.id, "Talk");
    await client.until(() => client.text(session.id), "the first words");
    const { configOptions } = await client.option(session.id, "mode", "plan");
    assert.equal(optionOf(configOptions, "mode").currentValue, "plan");
    assert.equal((await turn).stopReason, "end_turn");
});

scenario("boolean options only for clients that know them", async (t) => {
    const [, session] = await t.open([], { capabilities: { ...CAPABILITIES, session: {} } });
    assert.ok(session.configOptions.every((one) => one.type === "select"));
});

scenario("the thinking switch: boolean where the client knows it, kept in step", async (t) => {
    const [client, session] = await t.open(["Fine."], { args: [] });
    const thinking = session.configOptions.find((one) => one.category === "thought_level" || /think/i.test(one.id));
    if (!thinking) {
        // the scripted model has no thinking: then the switch is not offered at all
        const other = await t.open([], { capabilities: { ...CAPABILITIES, session: {} } });
        assert.ok(!other[1].configOptions.some((one) => /think/i.test(one.id)));
        return;
    }
    for (const value of thinking.type === "boolean" ? [false, true] : valuesOf(thinking)) {
        const { configOptions } = await client.option(session.id, thinking.id, value);
        assert.equal(optionOf(configOptions, thinking.id).currentValue, value);
    }
});

scenario("models: the configured one is chosen, another may be", async (t) => {
    const [client, session] = await t.open(["Fine."]);
    const model = optionOf(session.configOptions, "model");
    assert.equal(model.category, "model");
    assert.match(model.currentValue, /^script:/);
    const another = valuesOf(model).find((value) => value !== model.currentValue);
    assert.ok(another, "no other model is offered");
    const { configOptions } = await client.option(session.id, model.id, another);
    assert.equal(optionOf(configOptions, model.id).currentValue, another);
});
