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


conf = cfg.ConfigOpts()
conf([], project="x")
e = policy.Enforcer(conf, use_conf=False, default_rule="default")
e.suppress_default_change_warnings = True
e.suppress_deprecation_warnings = True
out = []
for a in json.load(sys.stdin):
    e.set_rules(policy.Rules.from_dict(a["rules"], "default"), use_conf=False)
    out.append(bool(e.enforce(a["rule"], a["target"], a["creds"])))
json.dump(out, sys.stdout)
