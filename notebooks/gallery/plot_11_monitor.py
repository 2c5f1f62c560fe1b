"""
A model in use
==============

Batches come, labels follow, and from the eleventh batch on something is wrong. The alarm may be looked at after
every label, and is false with the chance asked for, at whatever time.
"""

import numpy as np

from shiftfix.display import MonitorDisplay
from shiftfix.risk import RiskMonitor

rng = np.random.default_rng(0)
monitor, history = RiskMonitor(0.9, tolerance=0.05), []
for batch in range(16):
    chance = 0.9 if batch < 10 else 0.7
    monitor.update(np.tile([0.1, 0.9], (50, 1)))
    rows = np.arange(monitor.n_rows_ - 50, monitor.n_rows_)
    monitor.update_labels(rows, (rng.random(50) < chance).astype(int))
    history.append((monitor.estimate(), monitor.alarms_))
display = MonitorDisplay.from_history(history, reference=0.85)
