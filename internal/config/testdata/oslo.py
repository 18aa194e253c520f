# Reads a JSON list of configuration texts on standard input; writes what oslo.config makes of each:
# {"items": [[section, key, value], ...], "get": {"DEFAULT.a": value or null, ...}} or {"error": text}.
import json
import os
import sys
import tempfile

from oslo_config import cfg


class Items(cfg.ConfigParser):
    def __init__(self, filename):
        super().__init__(filename, {})
        self.items = []

    def assignment(self, key, value):
        super().assignment(key, value)
        self.items.append([self.section, key, "\n".join(value)])


def read(text, path):
    with open(path, "w", newline="") as f:
        f.write(text)
    p = Items(path)
    try:
        p.parse()
    except Exception as e:
        return {"error": str(e)}
    conf = cfg.ConfigOpts()
    opts = [cfg.StrOpt("a"), cfg.StrOpt("b", default="dflt"), cfg.StrOpt("c", default="$b/c")]
    typed = [cfg.BoolOpt("flag"), cfg.IntOpt("n"), cfg.ListOpt("l"), cfg.MultiStrOpt("m"),
             cfg.StrOpt("new", deprecated_name="old", deprecated_group="OldGroup")]
    conf.register_opts(opts)
    conf.register_opts(opts + typed, "grp")
    conf(["--config-file", path], project="x")
    got = {}
    for g in (conf, conf.grp):
        for o in opts + (typed if g is not conf else []):
            name = ("DEFAULT." if g is conf else "grp.") + o.name
            try:
                got[name] = getattr(g, o.name)
            except Exception as e:
                got[name] = "ERROR"
    return {"items": p.items, "get": got}


with tempfile.TemporaryDirectory() as d:
    out = [read(t, os.path.join(d, "x.conf")) for t in json.load(sys.stdin)]
json.dump(out, sys.stdout)
