//! An update is refused only for faults that it introduces, for any two kinds.

use crds::WorkspaceKind;
use crds::testing::Generator;
use fastrand::Rng;
use serde_json::{Value, json};
use webhook::Policy;
use webhook::field::Fault;
use webhook::workspace_kind::validate;

use crate::{ask_kind, serving_facts};

const PAIRS: usize = 1000;

/// The parts of a fault that an update compares.
fn identity(fault: &Fault) -> (&'static str, String, String) {
    (fault.rule.id(), fault.key.clone(), fault.detail.clone())
}

fn faults(kind: &WorkspaceKind) -> Vec<Fault> {
    validate(&kind.spec, &Policy::default()).faults
}

fn json(kind: &WorkspaceKind) -> Value {
    serde_json::to_value(kind).unwrap()
}

/// The generator's kinds, with further faults.
fn kind(generator: &mut Generator, random: &mut Rng) -> WorkspaceKind {
    let mut kind = generator.workspace_kind();
    kind.metadata.name = Some("kind".to_owned());
    let template = &mut kind.spec.pod_template;
    if let Some(ports) = template.ports.as_mut().filter(|_| random.u8(..4) == 0) {
        let copy = ports[random.usize(..ports.len())].clone();
        ports.push(copy);
    }
    if random.u8(..4) == 0 {
        "gone".clone_into(&mut template.options.pod_config.spawner.default);
    }
    if random.u8(..4) == 0 {
        let image = random.usize(..template.options.image_config.values.len());
        let ports = &mut template.options.image_config.values[image].spec.ports;
        let mut copy = ports[0].clone();
        copy.id = format!("p{}", random.u8(..3));
        ports.push(copy);
    }
    kind
}

fn shuffle(kind: &mut WorkspaceKind, random: &mut Rng) {
    let template = &mut kind.spec.pod_template;
    random.shuffle(&mut template.extra_env);
    if let Some(ports) = &mut template.ports {
        random.shuffle(ports);
        for headers in ports.iter_mut().filter_map(|port| port.http_proxy.as_mut()?.request_headers.as_mut()) {
            random.shuffle(&mut headers.remove);
        }
    }
    random.shuffle(&mut template.extra_volumes);
    random.shuffle(&mut template.extra_volume_mounts);
    random.shuffle(&mut template.options.image_config.values);
    random.shuffle(&mut template.options.pod_config.values);
    random.shuffle(&mut kind.spec.filter_rules);
}

#[tokio::test]
async fn an_update_is_refused_for_exactly_the_faults_that_it_introduces() {
    let mut generator = Generator::new(3);
    let mut random = Rng::with_seed(3);
    let router = serving_facts(&[], &[]);
    let (mut refused, mut excused) = (0, 0);
    for round in 0..PAIRS {
        let old = kind(&mut generator, &mut random);
        // Half of the pairs share most of their faults.
        let mut new = if round % 2 == 0 { kind(&mut generator, &mut random) } else { old.clone() };
        new.spec.pod_template.options.pod_config.spawner.default =
            (*random.choice(&["pod-0", "gone"]).unwrap()).to_owned();
        new.spec.spawner.display_name = format!("Round {round}");

        let mut before: Vec<_> = faults(&old).iter().map(identity).collect();
        let mut expected = Vec::new();
        for fault in faults(&new) {
            match before.iter().position(|known| *known == identity(&fault)) {
                Some(known) => {
                    before.swap_remove(known);
                    excused += 1;
                }
                None => expected.push((fault.field.clone(), fault.message())),
            }
        }
        let found = ask_kind(&router, &json(&new), Some(&json(&old))).await;
        let warnings: Vec<_> =
            validate(&new.spec, &Policy::default()).warnings.into_iter().map(|warning| warning.text).collect();
        assert!(warnings.len() > 5 || found.warnings == warnings, "round {round}: {:?}", found.warnings);
        let causes: Vec<_> = found.causes.into_iter().map(|cause| (cause.field, cause.message)).collect();
        assert_eq!(causes, expected, "round {round}");
        refused += usize::from(!expected.is_empty());
    }
    println!("updates pass {refused} refused, {excused} faults excused, of {PAIRS}");
    assert!(refused > PAIRS / 10 && excused > PAIRS / 10, "the generator shows both sides: {refused} {excused}");
}

#[tokio::test]
async fn reordering_editing_elsewhere_and_repairing_is_always_allowed() {
    let mut generator = Generator::new(4);
    let mut random = Rng::with_seed(4);
    let router = serving_facts(&[], &[]);
    let mut faulty = 0;
    for round in 0..PAIRS {
        let old = kind(&mut generator, &mut random);
        faulty += usize::from(!faults(&old).is_empty());
        let mut moved = old.clone();
        shuffle(&mut moved, &mut random);
        moved.spec.spawner.description = "Edited".to_owned();
        let found = ask_kind(&router, &json(&moved), Some(&json(&old))).await;
        assert_eq!(found.refused, None, "round {round}: {:?} in {}", found.causes, json(&old));

        let mut repaired = old.clone();
        repaired.spec.pod_template.extra_env.clear();
        let found = ask_kind(&router, &json(&repaired), Some(&json(&old))).await;
        assert_eq!(found.refused, None, "round {round}: {:?}", found.causes);
    }
    assert!(faulty > PAIRS / 10, "{faulty}");
}

/// A new port changes which ids are valid, and so the hint in the message of a fault that was there before.
#[tokio::test]
async fn new_ids_do_not_make_an_old_fault_new() {
    let mut old = json(&crds::testing::workspace_kind("kind"));
    old["spec"]["podTemplate"]["extraEnv"] = json!([{"name": "A", "value": "{{ httpPathPrefix \"vnc\" }}"}]);
    let mut new = old.clone();
    new["spec"]["podTemplate"]["options"]["imageConfig"]["values"][0]["spec"]["ports"]
        .as_array_mut()
        .unwrap()
        .push(json!({"id": "vncs", "port": 5900}));
    let router = serving_facts(&[], &[]);
    assert_eq!(ask_kind(&router, &new, Some(&old)).await.refused, None);
    let message = &ask_kind(&router, &new, None).await.causes[0].message;
    assert!(message.contains("port id \"vnc\" does not exist, did you mean \"vncs\"? (valid ids: "), "{message}");
}
