"""A list of named checks, each with a program of its own: what conformance.py and servers.py are made of.

    cases = Cases()
    @cases.case("name", model_text, **options_of_Agent)
    def check_something(agent): ...
    sys.exit(cases.main(__doc__))
"""

import argparse
import concurrent.futures
import os
import traceback

from agent import Agent, Failed, Refused


class Cases:
    def __init__(self):
        self.rows = {}

    def case(self, name, model, **options):
        def keep(run):
            self.rows[name] = (run, model, options)
            return run
        return keep

    def run(self, mux, name):
        body, model, options = self.rows[name]
        try:
            with Agent(mux, model, **options) as agent:
                body(agent)
            return None
        except (Failed, Refused) as failure:
            return str(failure)
        except Exception:
            return traceback.format_exc()

    def main(self, words):
        parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--mux", required=True, help="the program")
        parser.add_argument("names", nargs="*", help="only cases whose name holds one of these")
        options = parser.parse_args()
        mux = os.path.abspath(options.mux)
        names = [n for n in self.rows if not options.names or any(part in n for part in options.names)]
        failed = 0
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for name, problem in zip(names, pool.map(lambda n: self.run(mux, n), names)):
                print(f"{'FAIL' if problem else 'ok  '} {name}" + (f"\n    {problem}" if problem else ""), flush=True)
                failed += problem is not None
        print(f"{len(names) - failed} passed, {failed} failed, 0 skipped")
        return 1 if failed or not names else 0
