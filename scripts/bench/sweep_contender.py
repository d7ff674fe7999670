"""One contender in a process of its own, from its start to the last loss.

    python sweep_contender.py FILE MODEL MEMBERS STARTED [PLACE ...]

FILE defines `trainer(model) -> train(trial) -> loss`, or `sweeper(model) -> sweep(trials) -> losses`, which is called
twice. Of the trials of a sweep of MEMBERS those at the PLACEs are run, or all. One JSON line: when the first loss was
there, in seconds since STARTED; what each trial, or each sweep, took; the losses.
"""

import importlib
import json
import sys
import time


def main() -> None:
    file, name, members, started, *places = sys.argv[1:]
    from sweep_setting import MODELS, trials

    module, chosen = importlib.import_module(file), trials(int(members))
    if places:
        chosen = [chosen[int(place)] for place in places]
    each = []

    def timed(work, *arguments):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work(*arguments)
        each.append({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
        if len(each) == 1:
            first.update(wall=time.time() - float(started), cpu=time.process_time())
        return result

    first: dict[str, float] = {}
    if hasattr(module, "trainer"):
        train = module.trainer(MODELS[name])
        losses = [timed(train, trial) for trial in chosen]
    else:
        sweep = module.sweeper(MODELS[name])
        losses = timed(sweep, chosen)
        timed(sweep, chosen)
    print(json.dumps({"first": first, "each": each, "losses": losses}))


if __name__ == "__main__":
    main()
