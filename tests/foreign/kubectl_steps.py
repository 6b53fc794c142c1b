"""What the kubectl suite does: commands as a user types them, without any flag that makes it easier for the server.

Each scenario has a namespace of its own and runs from top to bottom. A line is one command; "@file" is a manifest. A command
behind "until" is repeated until it succeeds, since a real server publishes a new resource a moment after it is defined.
"""

from __future__ import annotations

__all__ = ["IN_SUITE", "SCENARIOS"]

_LOOKING_AROUND = """
version
cluster-info
get --raw /healthz
api-resources --api-group=apps
api-resources --api-group=apps -o wide
api-resources --api-group=kitchen.example.com
api-resources --namespaced=false --api-group=rbac.authorization.k8s.io -o name
explain pods
explain deployment.spec.strategy
explain configmap --recursive
explain services.spec.ports.targetPort
explain nothing
explain pod.spec.nothing
auth can-i create pods
auth whoami -o jsonpath={.status.userInfo.username}
get nothing
get pods
get pods missing
get all
"""
_CONFIG_MAPS = """
create configmap first --from-literal=a=b --from-literal=c=d
create configmap first --from-literal=a=b
get configmap first
get cm
get cm first -o name
get cm first -o yaml
get cm first -o json
get cm first -o jsonpath={.data.a}
get cm -o custom-columns=NAME:.metadata.name,A:.data.a
get cm first -o go-template={{.data.c}}
get cm -l app=none
get cm first -w --request-timeout=1s
get cm first -o wide --show-labels
label cm first app=shop tier=front
label cm first app=other
label cm first app=other --overwrite
label cm first tier-
get cm --show-labels
get cm -l app=other -L app
annotate cm first note=hello
annotate cm first note-
patch cm first -p {"data":{"a":"strategic"}}
patch cm first --type=merge -p {"data":{"c":null}}
patch cm first --type=json -p [{"op":"add","path":"/data/e","value":"f"}]
patch cm first --type=json -p [{"op":"remove","path":"/data/nothing"}]
patch cm first -p {"data":{"a":"strategic"}}
get cm first -o jsonpath={.data}
edit cm first
get cm first -o jsonpath={.data.a}
describe cm first
delete cm first
delete cm first
delete cm first --ignore-not-found
"""
_APPLY = """
diff -f @config.yaml
apply -f @config.yaml --dry-run=client
apply -f @config.yaml --dry-run=server
apply -f @config.yaml
apply -f @config.yaml
apply view-last-applied cm config
diff -f @config.yaml
diff -f @config-changed.yaml
apply -f @config-changed.yaml
get cm config -o jsonpath={.data}
apply --server-side -f @config.yaml
apply --server-side --force-conflicts -f @config.yaml
apply --server-side --force-conflicts --field-manager=other -f @config-changed.yaml
apply --server-side -f @config.yaml
get cm config -o jsonpath={.data}
replace -f @config-changed.yaml
create -f @config.yaml
apply -k @
get cm -o name
apply -f @config-unknown-field.yaml
create -f @config-bad-name.yaml
apply -f @not-yaml.yaml
delete -f @config.yaml
delete -k @
"""
_DEPLOYMENTS = """
create deployment quick --image=nginx:1 --replicas=2
apply -f @web.yaml
get deployments
get deploy,svc -o wide
get deploy web -o yaml
diff -f @web-changed.yaml
apply -f @web-changed.yaml
scale deployment web --replicas=5
scale deployment web --current-replicas=1 --replicas=5
get deploy web -o jsonpath={.spec.replicas}
set image deployment/web web=nginx:1.27
set env deployment/web A=b
set resources deployment/web --limits=cpu=200m
rollout history deployment/web
rollout status deployment/web --timeout=1s
rollout restart deployment/web
rollout pause deployment/web
rollout resume deployment/web
rollout undo deployment/web
autoscale deployment web --min=1 --max=3 --cpu=80%
get hpa
expose deployment quick --port=80 --name=quick
get svc quick -o jsonpath={.spec.selector}
describe deployment web
describe service web
delete deployment quick web
delete svc --all
get all
"""
_PODS = """
run box --image=busybox --labels=app=box -- sleep 60
get pod box -o wide
get pods -A --field-selector=metadata.name=box
get pods --sort-by=.metadata.name
delete pod box --now
apply -f @pod.yaml
describe pod box
logs missing
logs box
patch pod box --subresource=status -p {"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}
wait pod/box --for=condition=Ready --timeout=5s
wait pod/box --for=jsonpath={.status.phase}=Running --timeout=5s
wait pod/box --for=condition=Initialized --timeout=1s
get pods --field-selector=status.phase=Running
get pod box -o jsonpath={.status.phase}
set image pod/box main=busybox:2
replace --force -f @pod.yaml
delete pods --all --wait=false
create job once --image=busybox -- true
create cronjob often --image=busybox --schedule=@hourly -- true
get jobs,cronjobs
create job --from=cronjob/often now
describe job once
delete job,cronjob --all
"""
_RIGHTS = """
create secret generic keys --from-literal=user=me --from-literal=password=x
get secrets
describe secret keys
get secret keys -o jsonpath={.data.user}
create serviceaccount robot
create token robot --duration=1h
create role reader --verb=get,list --resource=pods
create rolebinding read --role=reader --serviceaccount=default:robot
get roles,rolebindings -o wide
describe rolebinding read
describe role reader
create quota limit --hard=pods=3
get quota
describe quota limit
create ingress shop --rule=shop.example.com/*=web:80
get ingress
describe ingress shop
create poddisruptionbudget keep --selector=app=web --min-available=1
get pdb
delete role,rolebinding,secret,ingress,pdb,quota --all
"""
_CUSTOM_RESOURCES = """
apply -f @crd.yaml
wait crd/ovens.kitchen.example.com --for=condition=Established --timeout=10s
get crd ovens.kitchen.example.com
until explain oven
explain oven.spec.degrees
until get ovens
create -f @oven.yaml
get ovens
get ov -o wide
get oven pizza -o yaml
apply -f @oven.yaml
diff -f @oven-changed.yaml
apply -f @oven-changed.yaml
apply --server-side -f @oven-changed.yaml
apply -f @oven-too-hot.yaml
apply -f @oven-unknown-field.yaml
patch oven pizza --type=merge -p {"spec":{"fuel":"wood"}}
patch oven pizza -p {"spec":{"fuel":"wood"}}
patch oven pizza --type=merge --subresource=status -p {"status":{"phase":"Hot"}}
scale oven pizza --replicas=3
edit oven pizza
label oven pizza app=pizza
get all
describe oven pizza
delete oven pizza
delete crd ovens.kitchen.example.com
"""
_CLUSTER = """
apply -f @node.yaml
get node kitchen
get node kitchen -o wide
cordon kitchen
get node kitchen
uncordon kitchen
taint nodes kitchen heat=high:NoSchedule
describe node kitchen
drain kitchen --ignore-daemonsets
label node kitchen big=yes
delete node kitchen
create -f @event.yaml
get events
events
events --for pod/box
create ns NAMESPACE-b
get ns NAMESPACE-b -o jsonpath={.status.phase}
create priorityclass urgent-NAMESPACE --value=7
get priorityclass urgent-NAMESPACE
delete priorityclass urgent-NAMESPACE
"""

SCENARIOS = {
    "looking-around": _LOOKING_AROUND,
    "config-maps": _CONFIG_MAPS,
    "apply": _APPLY,
    "deployments": _DEPLOYMENTS,
    "pods": _PODS,
    "rights": _RIGHTS,
    "custom-resources": _CUSTOM_RESOURCES,
    "cluster": _CLUSTER,
}
"""The commands of each scenario."""

IN_SUITE = ("config-maps", "custom-resources")
"""The scenarios of the ordinary test suite; the nox session runs all of them."""
