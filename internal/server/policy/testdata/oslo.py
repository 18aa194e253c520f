# Reads a JSON list of {"rules": {...}, "rule": name, "target": {...}, "creds": {...}} on standard input; writes, for
# each, whether oslo.policy allows it. The checks tenant_id: and field: are Neutron's own, not oslo.policy's; they are
# stood in for by the shortest thing that does what Neutron's documentation says.
import json
import logging
import sys
import warnings

from oslo_config import cfg
from oslo_policy import policy

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


@policy.register("tenant_id")
class Owner(policy.Check):
    def __call__(self, target, creds, enforcer):
        try:
            return self.match % target == str(creds["tenant_id"])
        except KeyError:
            return False


@policy.register("field")
class Field(policy.Check):
    def __call__(self, target, creds, enforcer):
        import re
        field, value = self.match.split(":", 1)[1].split("=", 1)
        have = target.get(field, target.get("network:shared") if self.match.startswith("networks:shared=") else None)
        if have is None:
            return False
        return bool(re.match(value[1:], have)) if value.startswith("~") else have == value


def defaults():
    import importlib
    import pkgutil
    import neutron.conf.policies as pkg
    for m in pkgutil.iter_modules(pkg.__path__):
        yield from importlib.import_module("neutron.conf.policies." + m.name).list_rules()


def enforcer(new_only=False, use_conf=False):
    conf = cfg.ConfigOpts()
    conf([], project="x")
    e = policy.Enforcer(conf, use_conf=use_conf, default_rule="default")
    conf.set_override("enforce_new_defaults", new_only, group="oslo_policy")
    e.suppress_default_change_warnings = True
    e.suppress_deprecation_warnings = True
    return e


def every_default(new_only, asks):
    e = enforcer(new_only, True)
    e.register_defaults(list(defaults()))
    e.load_rules()
    names = sorted(e.registered_rules)
    return {n: [bool(e.enforce(n, dict(a["target"]), dict(a["creds"]))) for a in asks] for n in names}


ask = json.load(sys.stdin)
if isinstance(ask, dict):
    json.dump(every_default(ask["new_only"], ask["asks"]), sys.stdout)
else:
    out = []
    e = enforcer()
    for a in ask:
        e.set_rules(policy.Rules.from_dict(a["rules"], "default"), use_conf=False)
        out.append(bool(e.enforce(a["rule"], a["target"], a["creds"])))
    json.dump(out, sys.stdout)
