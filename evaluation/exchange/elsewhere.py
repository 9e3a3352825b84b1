"""Neurons of libraries that need an older Python or numpy: in an interpreter without torch and us.

PYTHON elsewhere.py lava|brian2 < currents.json      # {"current": [[...]], "leak": ..., ...}; spikes come out
"""

import json
import math
import sys
from typing import Any


def lava(
    current: list[list[float]], leak: float, threshold: float, reset: str, du: float = 1.0, start: float = 0.0
) -> Any:
    """Its floating-point model; du=1 lets no current stay. (steps, neurons) in and out."""
    import numpy as np
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi1SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.lif.process import LIF

    data = np.asarray(current, float).T
    size, steps = data.shape
    source, sink = Source(data=data), Sink(shape=(size,), buffer=steps)
    neurons = LIF(shape=(size,), du=du, dv=1 - leak, vth=threshold, v=start)
    source.s_out.connect(neurons.a_in)
    neurons.s_out.connect(sink.a_in)
    neurons.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi1SimCfg(select_tag="floating_pt"))
    spikes = sink.data.get().T
    neurons.stop()
    return spikes.astype(int).tolist()


def brian2(
    current: list[list[float]],
    leak: float,
    threshold: float,
    reset: str,
    norm_input: bool = True,
    start: float = 0.0,
) -> Any:
    """Exact integration of dv/dt = (I - v) / tau at a step of 1 ms."""
    import brian2 as b
    import numpy as np

    b.prefs.codegen.target = "numpy"
    data = np.asarray(current, float)
    steps, size = data.shape
    b.start_scope()
    b.defaultclock.dt = 1 * b.ms
    weighted = b.TimedArray(data if norm_input else data / (1 - leak), dt=1 * b.ms)
    tau = -1 / math.log(leak) * b.ms
    back = {"hard": "v = 0", "soft_immediate": "v -= threshold"}[reset]
    space = {"weighted": weighted, "tau": tau, "threshold": threshold}
    group = b.NeuronGroup(
        size,
        "dv/dt = (weighted(t, i) - v) / tau : 1",
        threshold="v > threshold",
        reset=back,
        method="exact",
        namespace=space,
    )
    group.v = start
    monitor = b.SpikeMonitor(group)
    network = b.Network(group, monitor)
    network.run(steps * b.ms)
    spikes = np.zeros((steps, size), int)
    spikes[np.round(np.asarray(monitor.t / b.ms)).astype(int), np.asarray(monitor.i)] = 1
    return spikes.tolist()


if __name__ == "__main__":
    print(json.dumps({"lava": lava, "brian2": brian2}[sys.argv[1]](**json.load(sys.stdin))))
