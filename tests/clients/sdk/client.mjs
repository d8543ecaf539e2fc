// One mux-acp process and the official SDK as its client. What the agent writes is looked at twice: by the SDK,
// and line by line against the schema.
import { spawn } from "node:child_process";
import { Readable, Writable } from "node:stream";
import * as acp from "@agentclientprotocol/sdk/unstable";
import { Editor, Terminals } from "./editor.mjs";
import { WireCheck } from "./schema.mjs";

export const CAPABILITIES = {
    fs: { readTextFile: true, writeTextFile: true },
    terminal: true,
    elicitation: { form: {}, url: {} },
    session: { configOptions: { boolean: {} }, notices: {}, compaction: {} },
};

const { agent: to, client: from } = acp.methods;

export function choose(kind) {
    return ({ options }) => {
        const option = options.find((one) => one.kind === kind);
        return { outcome: option ? { outcome: "selected", optionId: option.optionId } : { outcome: "cancelled" } };
    };
}

function deferred() {
    const made = {};
    made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
    return made;
}

export class Client {
    wire = new WireCheck();
    problems = []; // lines of the agent that the schema refuses
    updates = []; // {sessionId, update}
    requests = []; // {method, params}: what the agent asked of us
    answers = []; // in the order of their arrival: {id, at: number of updates before it}
    stderr = "";
    editor = new Editor();
    terminals = new Terminals();
    permit = choose("allow_once");
    elicit = () => ({ action: "cancel" });
    #raw = new Map();
    #nextRaw = 0;
    #waiters = [];

    constructor(program, args, options) {
        this.child = spawn(program, args, { cwd: options.cwd, env: options.env, stdio: ["pipe", "pipe", "pipe"] });
        this.exit = new Promise((resolve) => {
            this.child.on("error", (error) => resolve({ code: null, signal: null, error }));
            this.child.on("close", (code, signal) => resolve({ code, signal }));
        });
        this.child.stderr.on("data", (data) => (this.stderr += data));
        this.child.stdin.on("error", () => {});
        this.#connect();
    }

    // ---- the wire ----

    #connect() {
        let isCancelled = false;
        const incoming = new ReadableStream({
            cancel: () => (isCancelled = true),
            start: (controller) => {
                let held = Buffer.alloc(0);
                this.child.stdout.on("data", (data) => {
                    held = held.length ? Buffer.concat([held, data]) : data;
                    for (let end; (end = held.indexOf(10)) >= 0; held = held.subarray(end + 1)) {
                        const line = held.subarray(0, end + 1);
                        if (!this.#take(line.toString("utf8")) && !isCancelled) controller.enqueue(new Uint8Array(line));
                    }
                });
                this.child.stdout.on("end", () => {
                    if (held.length) this.problems.push(`a line without an end: ${held.subarray(0, 80)}`);
                    if (!isCancelled) controller.close();
                });
            },
        });
        const stdin = Writable.toWeb(this.child.stdin).getWriter();
        const outgoing = new WritableStream({
            write: (bytes) => {
                this.wire.sent(JSON.parse(new TextDecoder().decode(bytes)));
                return stdin.write(bytes);
            },
        });
        this.connection = this.#app().connect(acp.ndJsonStream(outgoing, incoming));
        this.connection.closed.catch(() => {});
        this.agent = this.connection.agent;
    }

    /** True when the line answers a message that went past the SDK. */
    #take(line) {
        const problem = this.wire.check(line);
        if (problem) this.problems.push(`${problem} in ${line.slice(0, 300)}`);
        let message = null;
        try {
            message = JSON.parse(line);
        } catch {
            return false;
        }
        const isAnswer = !("method" in message);
        if (isAnswer) this.answers.push({ id: message.id, at: this.updates.length, message });
        if (message.method === "session/update") this.updates.push(message.params);
        else if (message.method && "id" in message) this.requests.push({ method: message.method, params: message.params });
        const id = isAnswer ? JSON.stringify(message.id) : "";
        const waiting = this.#raw.get(id);
        if (waiting) {
            this.#raw.delete(id);
            waiting.resolve(message);
        }
        this.#wake();
        return Boolean(waiting);
    }

    #app() {
        const editor = this.editor;
        const terminals = this.terminals;
        const fail = (error) => {
            throw new acp.RequestError(error.code ?? -32603, error.message, error.data);
        };
        const answer = (handle) => async (context) => {
            try {
                return await handle(context.params, context);
            } catch (error) {
                return fail(error);
            }
        };
        return acp
            .client({ name: "mux-sdk-client" })
            .onNotification(from.session.update, () => {})
            .onRequest(from.session.requestPermission, answer((params, context) => this.permit(params, context)))
            .onRequest(from.fs.readTextFile, answer((params) => editor.read(params)))
            .onRequest(from.fs.writeTextFile, answer((params) => editor.write(params)))
            .onRequest(from.terminal.create, answer((params) => terminals.create(params)))
            .onRequest(from.terminal.output, answer((params) => terminals.output(params)))
            .onRequest(from.terminal.waitForExit, answer((params) => terminals.waitForExit(params)))
            .onRequest(from.terminal.kill, answer((params) => terminals.kill(params)))
            .onRequest(from.terminal.release, answer((params) => terminals.release(params)))
            .onRequest(from.elicitation.create, answer((params, context) => this.elicit(params, context)))
            .onNotification(from.elicitation.complete, () => {});
    }

    /** Writes a line that the SDK would not. */
    write(line) {
        try {
            this.wire.sent(JSON.parse(line));
        } catch {
            // what is no JSON has no answer to pair
        }
        this.child.stdin.write(`${line}\n`);
    }

    /** A request past the SDK; the whole answer, errors too. */
    ask(method, params, id = `raw-${this.#nextRaw++}`) {
        const waiting = deferred();
        this.#raw.set(JSON.stringify(id), waiting);
        this.write(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
        return waiting.promise;
    }

    // ---- waiting ----

    #wake() {
        for (const wake of this.#waiters.splice(0)) wake();
    }

    /** Resolves with the first truthy value of `look`, asked again after every line of the agent. */
    async until(look, what, limit = 20000) {
        const gone = this.exit.then(() => "gone");
        for (const end = Date.now() + limit; ; ) {
            const found = look();
            if (found) return found;
            if (Date.now() >= end) throw new Error(`waited in vain for ${what}`);
            const woken = new Promise((resolve) => this.#waiters.push(resolve));
            let timer;
            const late = new Promise((resolve) => (timer = setTimeout(resolve, Math.min(50, end - Date.now()))));
            const state = await Promise.race([woken, late, gone]);
            clearTimeout(timer);
            if (state === "gone" && !look()) throw new Error(`the agent ended before ${what}: ${this.stderr.slice(-400)}`);
        }
    }

    // ---- the protocol ----

    initialize(clientCapabilities = CAPABILITIES, protocolVersion = 1) {
        return this.agent.request(to.initialize, {
            protocolVersion,
            clientCapabilities,
            clientInfo: { name: "mux-sdk-client", version: "1" },
        });
    }

    async newSession(cwd, more = {}) {
        const result = await this.agent.request(to.session.new, { cwd, mcpServers: [], ...more });
        return { ...result, id: result.sessionId };
    }

    prompt(sessionId, prompt) {
        const blocks = typeof prompt === "string" ? [{ type: "text", text: prompt }] : prompt;
        return this.agent.request(to.session.prompt, { sessionId, prompt: blocks });
    }

    cancel(sessionId) {
        return this.agent.notify(to.session.cancel, { sessionId });
    }

    option(sessionId, configId, value) {
        const boolean = typeof value === "boolean" ? { type: "boolean" } : {};
        return this.agent.request(to.session.setConfigOption, { sessionId, configId, value, ...boolean });
    }

    // ---- what was heard ----

    of(sessionId, kind, since = 0) {
        return this.updates
            .slice(since)
            .filter((one) => one.sessionId === sessionId && (!kind || one.update.sessionUpdate === kind))
            .map((one) => one.update);
    }

    text(sessionId, since = 0, kind = "agent_message_chunk") {
        return this.of(sessionId, kind, since).map((update) => update.content.text).join("");
    }

    /** The tool calls as they ended: later updates laid over the first. */
    tools(sessionId, since = 0) {
        const calls = new Map();
        for (const update of this.of(sessionId, null, since))
            if (update.sessionUpdate === "tool_call" || update.sessionUpdate === "tool_call_update")
                calls.set(update.toolCallId, { ...calls.get(update.toolCallId), ...update });
        return [...calls.values()];
    }

    diffs(sessionId, since = 0) {
        return this.tools(sessionId, since).flatMap((call) => (call.content ?? []).filter((one) => one.type === "diff"));
    }

    asked(method) {
        return this.requests.filter((one) => one.method === method).map((one) => one.params);
    }

    // ---- the end ----

    async finish() {
        this.child.stdin.end();
        const timer = setTimeout(() => this.child.kill("SIGKILL"), 10000);
        const { code, signal, error } = await this.exit;
        clearTimeout(timer);
        this.connection.close();
        if (error) throw error;
        return signal ?? code;
    }

    async kill() {
        this.killed = true;
        this.child.kill("SIGKILL");
        await this.exit;
        this.connection.close();
    }
}

export { acp, to, from };
