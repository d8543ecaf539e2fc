// Permissions, grains, and what the user does with a change afterwards.
import { CAPABILITIES, assert, edit, optionOf, reply, scenario, valuesOf } from "../kit.mjs";
import { choose } from "../client.mjs";

const LINES = Array.from({ length: 40 }, (_, i) => `value ${i + 1}`);
const TEXT = `${LINES.join("\n")}\n`;
const TWO_HUNKS = `Two places.\n\n${edit("a.txt", "value 3", "value three")}\n${edit("a.txt", "value 33", "value thirty-three")}`;
const THREE = TEXT.replace("value 3\n", "value three\n");
const BOTH = THREE.replace("value 33\n", "value thirty-three\n");
const WITHOUT_FORMS = { ...CAPABILITIES, elicitation: undefined };
const ASK = "In a.txt write three and thirty-three in words";

const permissions = (client) => client.asked("session/request_permission");

async function openWithGrain(t, grain, replies, options = {}) {
    const [client, session] = await t.open(replies, options);
    const option = session.configOptions.find((one) => one.type === "select" && valuesOf(one).includes("hunk"));
    assert.ok(option, "no option for the grain of a review");
    await client.option(session.id, option.id, grain);
    return [client, session];
}

scenario("permission: the four kinds are offered", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([TWO_HUNKS]);
    await client.prompt(session.id, ASK);
    assert.deepEqual(
        permissions(client)[0].options.map((one) => one.kind),
        ["allow_once", "allow_always", "reject_once", "reject_always"],
    );
    assert.equal(t.read("a.txt"), BOTH);
});

scenario("permission: rejected once, nothing is written and the turn goes on", { sample: true }, async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([TWO_HUNKS]);
    client.permit = choose("reject_once");
    assert.equal((await client.prompt(session.id, ASK)).stopReason, "end_turn");
    assert.equal(t.read("a.txt"), TEXT);
    assert.equal(client.editor.writes.length, 0);
    assert.ok(client.tools(session.id).some((one) => one.kind === "edit" && one.status === "failed"));
});

scenario("permission: always is remembered in the session", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([
        edit("a.txt", "value 3", "value three"),
        edit("a.txt", "value 33", "value thirty-three"),
    ]);
    client.permit = choose("allow_always");
    await client.prompt(session.id, "In a.txt write three in words");
    await client.prompt(session.id, "In a.txt write thirty-three in words");
    assert.equal(permissions(client).length, 1);
    assert.equal(t.read("a.txt"), BOTH);
});

scenario("permission: never is remembered in the session", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([reply(TWO_HUNKS, { repeat: true })]);
    client.permit = choose("reject_always");
    await client.prompt(session.id, ASK);
    await client.prompt(session.id, ASK);
    assert.equal(permissions(client).length, 1);
    assert.equal(t.read("a.txt"), TEXT);
});

scenario("permission: the client answers cancelled", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([reply(TWO_HUNKS, { repeat: true })]);
    client.permit = () => ({ outcome: { outcome: "cancelled" } });
    const { stopReason } = await client.prompt(session.id, ASK);
    assert.ok(["cancelled", "end_turn"].includes(stopReason), stopReason);
    assert.equal(t.read("a.txt"), TEXT);
});

scenario("permission: an answer that makes no sense is a refusal", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([reply(TWO_HUNKS, { repeat: true })]);
    client.permit = () => ({ outcome: { outcome: "selected", optionId: "no such option" } });
    assert.equal((await client.prompt(session.id, ASK)).stopReason, "end_turn");
    assert.equal(t.read("a.txt"), TEXT);
});

scenario("grain turn: one question for all files", async (t) => {
    t.file("a.txt", TEXT);
    t.file("b.txt", TEXT);
    const [client, session] = await openWithGrain(t, "turn", [
        `Both.\n\n${edit("a.txt", "value 3", "value three")}\n${edit("b.txt", "value 3", "value three")}`,
    ]);
    await client.prompt(session.id, "Write three in words in a.txt and b.txt");
    assert.equal(permissions(client).length, 1);
    assert.deepEqual([t.read("a.txt"), t.read("b.txt")], [THREE, THREE]);
});

scenario("grain file: a question a file; one may be refused", async (t) => {
    t.file("a.txt", TEXT);
    t.file("b.txt", TEXT);
    const [client, session] = await openWithGrain(t, "file", [
        `Both.\n\n${edit("a.txt", "value 3", "value three")}\n${edit("b.txt", "value 3", "value three")}`,
    ]);
    client.permit = (params) => choose(JSON.stringify(params.toolCall).includes(t.path("b.txt")) ? "reject_once" : "allow_once")(params);
    await client.prompt(session.id, "Write three in words in a.txt and b.txt");
    assert.equal(permissions(client).length, 2);
    assert.deepEqual([t.read("a.txt"), t.read("b.txt")], [THREE, TEXT]);
});

/** Accepts a form with all but the hunks whose label holds `not`. */
function keepAllBut(not) {
    return ({ requestedSchema }) => {
        const content = {};
        for (const [name, rule] of Object.entries(requestedSchema.properties)) {
            if (rule.type === "array") {
                const choices = rule.items.anyOf ?? rule.items.oneOf ?? rule.items.enum.map((value) => ({ const: value, title: value }));
                content[name] = choices.filter((one) => !one.title.includes(not)).map((one) => one.const);
            } else if (rule.type === "boolean") {
                content[name] = !`${rule.title} ${rule.description}`.includes(not);
            } else if (rule.oneOf || rule.enum) {
                content[name] = rule.default ?? rule.oneOf?.[0].const ?? rule.enum[0];
            }
        }
        return { action: "accept", content };
    };
}

scenario("grain hunk: a form asks for each hunk, one is left out", { sample: true }, async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await openWithGrain(t, "hunk", [TWO_HUNKS]);
    client.elicit = (params) => keepAllBut("thirty-three")(params);
    await client.prompt(session.id, ASK);
    const [form] = client.asked("elicitation/create");
    assert.ok(form, "no form");
    assert.equal(form.mode, "form");
    assert.equal(form.sessionId, session.id);
    assert.equal(t.read("a.txt"), THREE);
});

scenario("grain hunk: a declined form writes nothing", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await openWithGrain(t, "hunk", [TWO_HUNKS]);
    client.elicit = () => ({ action: "decline" });
    assert.equal((await client.prompt(session.id, ASK)).stopReason, "end_turn");
    assert.ok(client.asked("elicitation/create").length > 0);
    assert.equal(t.read("a.txt"), TEXT);
});

scenario("grain hunk: without forms there is a permission for each hunk", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await openWithGrain(t, "hunk", [TWO_HUNKS], { capabilities: WITHOUT_FORMS });
    client.permit = (params) => {
        const text = JSON.stringify(params.toolCall.content.filter((one) => one.type === "diff").map((one) => [one.oldText, one.newText]));
        const hasOnlySecond = text.includes("thirty-three") && permissions(client).length === 2;
        return choose(hasOnlySecond ? "reject_once" : "allow_once")(params);
    };
    await client.prompt(session.id, ASK);
    assert.equal(client.asked("elicitation/create").length, 0);
    assert.equal(permissions(client).length, 2);
    assert.equal(t.read("a.txt"), THREE);
});

scenario("afterwards: a formatter's change is told to the model at the next turn", { sample: true }, async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([
        edit("a.txt", "value 3", "value three"),
        reply("I know of the semicolon.", { when: "value three;" }),
        reply("I know nothing."),
    ]);
    client.editor.formatter = (path, text) => text.replace("value three\n", "value three;\n");
    await client.prompt(session.id, "In a.txt write three in words");
    assert.match(t.read("a.txt"), /value three;\n/);
    await client.prompt(session.id, "What now?");
    assert.match(client.text(session.id), /I know of the semicolon/);
});

scenario("afterwards: a hunk that the user took back is named at the next turn", { sample: true }, async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([
        TWO_HUNKS,
        reply("I see that you took one back.", { when: "value thirty-three" }),
        reply("I did not notice."),
    ]);
    await client.prompt(session.id, ASK);
    assert.equal(t.read("a.txt"), BOTH);
    t.file("a.txt", THREE); // the editor's Reject
    await client.prompt(session.id, "Anything else?");
    assert.match(client.text(session.id), /took one back/);
});

scenario("afterwards: a user's own edit elsewhere in the file survives the next edit", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([
        edit("a.txt", "value 3", "value three"),
        edit("a.txt", "value 33", "value thirty-three"),
    ]);
    await client.prompt(session.id, "In a.txt write three in words");
    t.file("a.txt", THREE.replace("value 20\n", "value 20 of mine\n"));
    await client.prompt(session.id, "In a.txt write thirty-three in words");
    assert.equal(t.read("a.txt"), BOTH.replace("value 20\n", "value 20 of mine\n"));
});

scenario("afterwards: text typed while the question is open is not lost", async (t) => {
    t.file("a.txt", TEXT);
    const [client, session] = await t.open([reply(TWO_HUNKS, { repeat: true })]);
    client.permit = (params) => {
        t.file("a.txt", TEXT.replace("value 20\n", "value 20 of mine\n"));
        return choose("allow_once")(params);
    };
    assert.equal((await client.prompt(session.id, ASK)).stopReason, "end_turn");
    assert.match(t.read("a.txt"), /value 20 of mine\n/);
    assert.ok(optionOf(session.configOptions, "mode"));
});
