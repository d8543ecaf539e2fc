// Every line that the agent writes, against the published JSON Schema: requests and notifications by their method,
// answers by the method of the request they answer. Methods that only the unstable schema has are checked against that.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Ajv2020 from "ajv/dist/2020.js";

const here = dirname(fileURLToPath(import.meta.url));
const shared = join(here, "../../../../shared/acp");
const shipped = join(here, "node_modules/@agentclientprotocol/sdk/schema/v1");
export const schemaFolder = process.env.ACP_SCHEMA ?? (existsSync(join(shared, "schema.json")) ? shared : shipped);

/** "method kind" -> validating function; kind is Request, Response or Notification. */
function readSchema(file, into) {
    const schema = JSON.parse(readFileSync(join(schemaFolder, file), "utf8"));
    const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: false });
    ajv.addSchema(schema, file);
    for (const [name, entry] of Object.entries(schema.$defs)) {
        const kind = /(Request|Response|Notification)$/.exec(name)?.[1];
        const key = `${entry["x-method"]} ${kind}`;
        if (entry["x-method"] && kind && !into.has(key))
            into.set(key, ajv.compile({ $ref: `${file}#/$defs/${name}` }));
    }
}

const validators = new Map();
readSchema("schema.json", validators);
readSchema("schema.unstable.json", validators);

function check(method, kind, value) {
    const validate = validators.get(`${method} ${kind}`);
    if (!validate) return method.startsWith("_") ? null : `${method}: the schema has no such ${kind.toLowerCase()}`;
    if (validate(value)) return null;
    const error = validate.errors[0];
    return `${method} ${kind}: ${error.instancePath || "/"} ${error.message}`;
}

/** Watches one connection: `sent` for each line to the agent, `check` for each line of the agent (null = fine). */
export class WireCheck {
    #open = new Map(); // id as JSON -> methods of open requests
    count = 0;

    sent(message) {
        if (message && typeof message === "object" && "id" in message && typeof message.method === "string")
            this.#open.set(JSON.stringify(message.id), message.method);
    }

    check(line) {
        this.count++;
        let message;
        try {
            message = JSON.parse(line);
        } catch {
            return "not JSON";
        }
        if (message?.jsonrpc !== "2.0") return 'no "jsonrpc":"2.0"';
        if (typeof message.method === "string")
            return check(message.method, "id" in message ? "Request" : "Notification", message.params);
        const id = JSON.stringify(message.id);
        const method = this.#open.get(id);
        if ("error" in message) {
            this.#open.delete(id);
            const isError = Number.isInteger(message.error?.code) && typeof message.error?.message === "string";
            if (!isError || "result" in message) return "an error without code and message";
            return method || message.id === null ? null : `an error for id ${id}, which was not asked`;
        }
        if (!method) return `an answer to id ${id}, which was not asked`;
        this.#open.delete(id);
        return check(method, "Response", message.result);
    }
}
