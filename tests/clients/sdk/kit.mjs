// What a scenario gets: a workspace, a scripted model, clients that are ended for it, and checks.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CAPABILITIES, Client } from "./client.mjs";

export const scenarios = [];

/** is_sample of the runner: `{ sample: true }` puts a scenario among the quick ones. */
export function scenario(name, options, run = options) {
    scenarios.push({ name, run, sample: options.sample ?? false });
}

export class Skip extends Error {}

/** A reply of the scripted model; `when` is a text of the last user message, `more` further options in their order. */
export function reply(text, { when, delay, piece, repeat } = {}) {
    const options = [
        delay === undefined ? "" : ` delay: ${delay}`,
        piece === undefined ? "" : ` piece: ${piece}`,
        repeat ? " repeat" : "",
        when === undefined ? "" : ` when: ${when}`,
    ];
    return `--- reply${options.join("")}\n${text}\n`;
}

/** One search/replace edit as models write it. */
export function edit(path, before, after) {
    return `${path}\n<<<<<<< SEARCH\n${before}\n=======\n${after}\n>>>>>>> REPLACE\n`;
}

/** A call of a tool in the dialect that many models were taught. */
export function call(name, args) {
    return `<tool_call>\n${JSON.stringify({ name, arguments: args })}\n</tool_call>`;
}

export class Test {
    clients = [];

    constructor(program, name) {
        this.program = program;
        this.root = mkdtempSync(join(process.env.MUX_TEST_TMP ?? tmpdir(), `mux-sdk-${name.replace(/\W+/g, "-").slice(0, 40)}-`));
        this.ws = this.folder("ws");
        this.home = this.folder("home");
    }

    folder(name) {
        const path = join(this.root, name);
        mkdirSync(path, { recursive: true });
        return path;
    }

    path(name) {
        return join(this.ws, name);
    }

    file(name, text) {
        mkdirSync(dirname(this.path(name)), { recursive: true });
        writeFileSync(this.path(name), text);
        return this.path(name);
    }

    read(name) {
        return readFileSync(this.path(name), "utf8");
    }

    exists(name) {
        return existsSync(this.path(name));
    }

    git() {
        execFileSync("git", ["init", "-q"], { cwd: this.ws });
    }

    /** The file of a scripted model; always the same one, for a kept session goes on with the model it had. */
    script(...replies) {
        const path = join(this.root, "model.txt");
        writeFileSync(path, replies.map((one) => (one.startsWith("--- reply") ? one : reply(one))).join(""));
        return path;
    }

    get environment() {
        const kept = Object.entries(process.env).filter(([name]) => !/^(MUX_|XDG_)/.test(name));
        return { ...Object.fromEntries(kept), HOME: this.home, XDG_STATE_HOME: join(this.home, "state") };
    }

    /** A client that has not said a word yet. */
    spawn(replies = [], args = []) {
        const model = replies === null ? [] : ["--model", `script:${this.script(...replies)}`];
        const client = new Client(this.program, [...model, ...args], { cwd: this.ws, env: this.environment });
        this.clients.push(client);
        return client;
    }

    /** A client after initialize; capabilities are those of an editor unless given. */
    async start(replies = [], { args = [], capabilities = CAPABILITIES } = {}) {
        const client = this.spawn(replies, args);
        client.initialized = await client.initialize(capabilities);
        return client;
    }

    /** The same with one session in the workspace: [client, session]. */
    async open(replies = [], options = {}) {
        const client = await this.start(replies, options);
        return [client, await client.newSession(this.ws, options.session)];
    }

    async finish(hasFailed) {
        const problems = [];
        for (const client of this.clients) {
            if (client.killed) continue;
            const status = await client.finish();
            if (status !== 0) problems.push(`the agent ended with ${status}: ${client.stderr.slice(-600)}`);
        }
        for (const client of this.clients) problems.push(...client.problems);
        if (hasFailed && this.clients.length) problems.push(...this.clients.map((one) => one.stderr.slice(-600)).filter(Boolean));
        if (!process.env.MUX_KEEP) rmSync(this.root, { recursive: true, force: true });
        return problems;
    }

    get lines() {
        return this.clients.reduce((sum, one) => sum + one.wire.count, 0);
    }
}

export async function refused(promise, code, where) {
    const error = await promise.then(
        (value) => assert.fail(`not refused: ${JSON.stringify(value)}`),
        (reason) => reason,
    );
    assert.equal(error.code, code, `${error.code} ${error.message}`);
    assert.ok(error.message.length > 8, "the message is no sentence");
    if (where) assert.match(JSON.stringify(error.data ?? error.message), where);
    return error;
}

export function optionOf(list, id) {
    const found = list.find((one) => one.id === id || one.category === id);
    assert.ok(found, `no option ${id} among ${list.map((one) => one.id)}`);
    return found;
}

export function valuesOf(option) {
    return option.options.flatMap((one) => (one.options ?? [one]).map((value) => value.value));
}

export const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export { assert, CAPABILITIES };
