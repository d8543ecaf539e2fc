// The client's side as an editor has it: buffers over files, a formatter, terminals.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export class RequestFailure extends Error {
    constructor(code, message, data) {
        super(message);
        Object.assign(this, { code, data });
    }
}

export class Editor {
    buffers = new Map(); // unsaved text
    reads = [];
    writes = [];
    formatter = null; // (path, text) => text
    refuse = null; // ("read" | "write", path) => true: as a client that a policy forbids

    read({ path, line, limit }) {
        this.reads.push(path);
        if (this.refuse?.("read", path)) throw new RequestFailure(-32603, "Internal error", { details: "Permission denied" });
        if (!this.buffers.has(path) && !existsSync(path))
            throw new RequestFailure(-32002, "Resource not found", { uri: path });
        let content = this.buffers.get(path) ?? readFileSync(path, "utf8");
        if (line || limit) {
            const lines = content.split(/(?<=\n)/);
            const from = (line ?? 1) - 1;
            content = lines.slice(from, limit === undefined || limit === null ? undefined : from + limit).join("");
        }
        return { content };
    }

    write({ path, content }) {
        this.writes.push({ path, content });
        if (this.refuse?.("write", path)) throw new RequestFailure(-32603, "Internal error", { details: "Permission denied" });
        const text = this.formatter ? this.formatter(path, content) : content;
        if (this.buffers.has(path)) this.buffers.set(path, text);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, text);
        return {};
    }
}

export class Terminals {
    #all = new Map();
    #next = 1;
    released = 0;
    created = [];

    create({ command, args = [], env = [], cwd, outputByteLimit }) {
        const id = `term-${this.#next++}`;
        this.created.push({ command, args });
        const variables = { ...process.env };
        for (const { name, value } of env) variables[name] = value;
        const child = spawn(command, args, { cwd, env: variables, shell: args.length === 0, stdio: ["ignore", "pipe", "pipe"] });
        const terminal = { child, output: "", truncated: false, status: null };
        terminal.exited = new Promise((resolve) => {
            const finish = (exitCode, signal) => resolve((terminal.status = { exitCode, signal }));
            child.on("error", () => finish(127, null));
            child.on("close", finish);
        });
        const collect = (data) => {
            terminal.output += data;
            if (outputByteLimit && terminal.output.length > outputByteLimit) {
                terminal.output = terminal.output.slice(-outputByteLimit);
                terminal.truncated = true;
            }
        };
        child.stdout.on("data", collect);
        child.stderr.on("data", collect);
        this.#all.set(id, terminal);
        return { terminalId: id };
    }

    #find(id) {
        const terminal = this.#all.get(id);
        if (!terminal) throw new RequestFailure(-32002, "Resource not found", { terminalId: id });
        return terminal;
    }

    output({ terminalId }) {
        const { output, truncated, status } = this.#find(terminalId);
        return { output, truncated, exitStatus: status };
    }

    waitForExit({ terminalId }) {
        return this.#find(terminalId).exited;
    }

    kill({ terminalId }) {
        this.#find(terminalId).child.kill("SIGKILL");
        return {};
    }

    release({ terminalId }) {
        this.#find(terminalId).child.kill("SIGKILL");
        this.#all.delete(terminalId);
        this.released++;
        return {};
    }

    get open() {
        return this.#all.size;
    }
}
