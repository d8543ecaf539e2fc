// All scenarios, in the order of a user's first day: start, ask, review, come back, choose, use tools.
import "./scenarios/start.mjs";
import "./scenarios/turns.mjs";
import "./scenarios/review.mjs";
import "./scenarios/cancel.mjs";
import "./scenarios/sessions.mjs";
import "./scenarios/options.mjs";
import "./scenarios/commands.mjs";
import "./scenarios/tools.mjs";
import "./scenarios/extensions.mjs";

export { scenarios, Skip, Test } from "./kit.mjs";
