"""A run's configuration: plain dataclasses, strict YAML, overrides by path. Torch-free.

    data:   {name: images, path: photos, size: 64}
    split:  {val: 0.15, test: 0.15}
    model:  {name: resnet, depth: 18}
    method: {name: supervised}
    train:  {epochs: 20, lr: 3e-4}

What is left out is computed from the data and written into the run's own config.yaml, which is complete.
"""

from deepen.config.document import ALIASES, OF_METHOD, RUN_TIME, SECTIONS, method_of, override, parse, place
from deepen.config.sections import METHOD, Check, Config, Labels, Split, Train, write
from deepen.config.strict_yaml import read_file, read_value, read_yaml
from deepen.config.target import PICKLES, TABLES, begins, from_target, pickled
