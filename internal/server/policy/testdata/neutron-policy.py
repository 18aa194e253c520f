# What Neutron's own policy code says (Debian: python3-neutron; Zed). Reads {"names": [...], "callers": [...], "targets": [...], "cases":
# [{"new": bool, "scope": bool, "files": {name: text}}]} on standard input; writes, for each case, {rule: answers}, an answer being a letter for
# each caller and target, in that order: "1" allowed, "0" not, "E" an exception; or {"": its type} if the files are not taken. The files are
# policy.yaml and what is in policy.d. A caller's letters are preceded by what Neutron takes him for: "a" administrator, "s" network service, "-".
import json
import logging
import multiprocessing
import os
import re
import sys
import tempfile
import warnings

from neutron import policy
from neutron_lib import context
from neutron_lib.api import attributes
from neutron_lib.plugins import directory
from oslo_config import cfg

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


def resources():
    """The attributes that the server's extensions add; field: converts a value as its attribute does."""
    import importlib
    import pkgutil
    import neutron_lib.api.definitions as pkg
    for m in pkgutil.iter_modules(pkg.__path__):
        if m.name.startswith("_") or m.name == "base":
            continue
        d = importlib.import_module("neutron_lib.api.definitions." + m.name)
        for name, attrs in (getattr(d, "RESOURCE_ATTRIBUTE_MAP", None) or {}).items():
            attributes.RESOURCES.setdefault(name, {}).update(attrs)


class Plugin:
    """Stands for the database: what a target's network or parent is, which the target itself tells."""

    def __init__(self, target):
        self.target = target

    def get_network(self, ctx, id, fields=None):
        return {"shared": self.target["network:shared"], "tenant_id": self.target.get("network:tenant_id")}


def allowed(case, ctx, name, target):
    """neutron.policy.check for one rule alone, without the rules of the attributes that the target has."""
    if not case["new"] and ctx.is_admin:
        return True
    return policy._ENFORCER.enforce(name, target, ctx.creds)


def concerned(names):
    """The rules that the files change, or whose answer depends on one that they do; without files, or if they say who is administrator, all."""
    rules, changed = policy._ENFORCER.rules, set(policy._ENFORCER.file_rules)
    everything = sorted(set(names) | set(rules))
    if not changed or changed & {"default", "context_is_admin", "context_is_advsvc"}:
        return everything
    while True:
        more = {n for n in rules if n not in changed and changed & set(re.findall(r"rule:([^ )]+)", str(rules[n])))}
        if not more:
            return sorted(changed)
        changed |= more


def one(job):
    names, callers, targets, case = job
    with tempfile.TemporaryDirectory() as d:
        open(d + "/x.conf", "w").close()
        os.mkdir(d + "/policy.d")
        for name, text in case["files"].items():
            with open(os.path.join(d, name), "w") as f:
                f.write(text)
        cfg.CONF(["--config-file", d + "/x.conf"], project="neutron", default_config_files=[])
        cfg.CONF.set_override("enforce_new_defaults", case["new"], group="oslo_policy")
        cfg.CONF.set_override("enforce_scope", case["scope"], group="oslo_policy")
        cfg.CONF.set_override("policy_file", d + "/policy.yaml", group="oslo_policy")
        cfg.CONF.set_override("policy_dirs", [d + "/policy.d"], group="oslo_policy")
        try:
            policy.refresh()
        except Exception as e:
            return {"": type(e).__name__}
        policy._ENFORCER.load_rules = lambda: None  # the files do not change
        warnings.warn = lambda *a: None  # it costs more than the decision
        contexts = [context.Context(**c) for c in callers]
        for ctx in contexts:
            ctx.creds = dict(ctx.to_policy_values())
        out = {}
        for name in concerned(names):
            letters = []
            for ctx in contexts:
                letters.append("a" if ctx.is_admin else "s" if ctx.is_advsvc else "-")
                for t in targets:
                    directory.get_plugin = lambda *a, t=t: Plugin(t)
                    try:
                        letters.append("1" if allowed(case, ctx, name, dict(t)) else "0")
                    except Exception:
                        letters.append("E")
            out[name] = "".join(letters)
        return out


def main():
    resources()
    ask = json.load(sys.stdin)
    jobs = [(ask["names"], ask["callers"], ask["targets"], c) for c in ask["cases"]]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        json.dump(pool.map(one, jobs, chunksize=1), sys.stdout)


main()
