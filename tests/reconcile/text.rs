//! Check G4: whatever text a kind or a Workspace brings into a child arrives as it is, or admission refuses it at its field.

use std::collections::BTreeMap;

use crds::apply_body::KEY_MAX;
use serde_json::{Map, Value, json};
use webhook::Policy;
use webhook::workspace_kind::validate;

use crate::world::{Child, WorkspaceHandle, World};

/// Characters in one value. Each is between two others, so that one which is lost or changed shows.
const IN_ONE: usize = 256;
/// Templates have at most 4 KiB.
const IN_ONE_HEADER: usize = 900;
const HEADERS_PER_PORT: usize = 7;
/// What separates words, lines and tokens for some reader, and what is near it.
const ODD: &str = "\0\t\n\u{b}\r\u{1b} \"'\\:,#&*!|>@`-?[]{}%=~<\u{7e}\u{7f}\u{80}\u{84}\u{85}\u{86}\u{9f}\u{a0}\u{ad}\
                   \u{2027}\u{2028}\u{2029}\u{202a}\u{d7ff}\u{e000}\u{fefe}\u{feff}\u{fffd}\u{fffe}\u{ffff}\u{10000}\
                   \u{1f600}\u{1fffe}\u{e0001}\u{10fffe}\u{10ffff}y";

/// Every character of the Basic Multilingual Plane, and some of each other plane.
fn all() -> Vec<char> {
    let planes = (1..=16).flat_map(|plane: u32| {
        let start = plane << 16;
        [0, 1, 0x85, 0x2028, 0x7fff, 0xfeff, 0xfffd, 0xfffe, 0xffff].map(|offset| start + offset)
    });
    (0..=0xffff).chain(planes).filter_map(char::from_u32).collect()
}

/// All pairs of odd characters.
fn pairs() -> Vec<char> {
    let pair = |first| ODD.chars().flat_map(move |second| [first, second]);
    ODD.chars().flat_map(pair).collect()
}

/// Random text from all planes; half of it odd.
fn random(length: usize) -> Vec<char> {
    let mut random = fastrand::Rng::with_seed(9);
    let odd: Vec<char> = ODD.chars().collect();
    (0..length).map(|_| if random.bool() { random.char(..) } else { odd[random.usize(..odd.len())] }).collect()
}

fn texts(characters: &[char], in_one: usize, between: &str) -> Vec<String> {
    let text = |chunk: &[char]| {
        chunk.iter().fold(String::new(), |mut text, character| {
            text.push_str(between);
            text.push(*character);
            text
        })
    };
    characters.chunks(in_one).map(|chunk| text(chunk) + between).collect()
}

/// As the values of templates, in which two braces would begin an action.
fn plain(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().map(|text| text.replace("{{", "{ {")).collect()
}

fn named(prefix: &str, values: &[String]) -> Map<String, Value> {
    values.iter().enumerate().map(|(index, value)| (format!("{prefix}{index}"), json!(value))).collect()
}

/// A paused Workspace of a kind that admission accepts.
fn accepted<'a>(world: &'a World, change: impl FnOnce(&mut Value), workspace: &Value) -> WorkspaceHandle<'a> {
    world.create_kind(change);
    let path = format!("/apis/kubeflow.org/v1beta1/workspacekinds/{}", world.kind);
    let kind: crds::WorkspaceKind = serde_json::from_value(world.get(&path)).unwrap();
    let faults = validate(&kind.spec, &Policy::default()).faults;
    assert!(faults.is_empty(), "{faults:?}");
    let lab = world.create("lab", |spec| {
        spec["paused"] = json!(true);
        spec["podTemplate"]["podMetadata"] = workspace.clone();
    });
    lab.wait_state("Paused");
    lab
}

fn pod_of(lab: &WorkspaceHandle<'_>) -> Value {
    lab.child(Child::StatefulSet)["spec"]["template"].clone()
}

/// Variables and annotations, of which half are the Workspace's.
fn variables_and_annotations_arrive(name: &str, characters: &[char]) -> usize {
    let variables = plain(texts(characters, IN_ONE, "-"));
    let annotations = named("a-", &texts(characters, IN_ONE, "."));
    let (of_kind, of_workspace): (Map<_, _>, Map<_, _>) =
        annotations.clone().into_iter().partition(|(name, _)| name.ends_with(['0', '2', '4', '6', '8']));
    let env: Vec<Value> =
        (0..).zip(&variables).map(|(n, value): (i32, _)| json!({"name": format!("V{n}"), "value": value})).collect();
    let world = World::empty(name);
    let change = |template: &mut Value| {
        template["extraEnv"] = json!(env);
        template["podMetadata"] = json!({"annotations": of_kind});
    };
    let lab = accepted(&world, change, &json!({"annotations": of_workspace}));
    let pod = pod_of(&lab);
    assert!(pod["spec"]["containers"][0]["env"] == json!(env), "variables");
    assert!(pod["metadata"]["annotations"] == json!(annotations), "annotations");
    variables.len() + annotations.len()
}

/// Commands of probes, and keys and values of a volume's attributes.
fn commands_and_attributes_arrive(name: &str, characters: &[char], keys: &[String]) -> usize {
    let command = texts(characters, IN_ONE, "-");
    let attributes: BTreeMap<String, String> =
        keys.iter().map(|key| (key.clone(), format!("value of {key}"))).collect();
    let world = World::empty(name);
    let change = |template: &mut Value| {
        template["probes"] = json!({"readinessProbe": {"exec": {"command": command}}});
        template["extraVolumes"] =
            json!([{"name": "v", "csi": {"driver": "csi.example.com", "volumeAttributes": attributes}}]);
    };
    let lab = accepted(&world, change, &json!({}));
    let pod = pod_of(&lab);
    assert!(pod["spec"]["containers"][0]["readinessProbe"]["exec"]["command"] == json!(command), "commands");
    assert!(pod["spec"]["volumes"][0]["csi"]["volumeAttributes"] == json!(attributes), "attributes");
    command.len() + 2 * attributes.len()
}

/// The faults of a kind with that header.
fn faults_of_header(value: &str) -> Vec<String> {
    let mut kind = crds::testing::workspace_kind("header");
    let proxy = kind.spec.pod_template.ports.as_mut().unwrap()[0].http_proxy.as_mut().unwrap();
    proxy.request_headers.as_mut().unwrap().set.insert("X-Text".to_owned(), value.to_owned());
    validate(&kind.spec, &Policy::default()).faults.into_iter().map(|fault| fault.field).collect()
}

/// Header values with the characters that admission accepts; each other one it refuses at its field.
fn headers_arrive_or_are_refused(name: &str, characters: &[char]) -> (usize, usize) {
    let field = "spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Text]";
    let is_accepted = |character: &char| {
        let faults = faults_of_header(&format!("-{character}-"));
        assert!(faults.is_empty() || faults == [field], "{character:?}: {faults:?}");
        faults.is_empty()
    };
    let (good, bad): (Vec<char>, Vec<char>) = characters.iter().partition(|character| is_accepted(character));
    let values = plain(texts(&good, IN_ONE_HEADER, ""));
    let ports: Vec<&[String]> = values.chunks(HEADERS_PER_PORT).collect();
    let world = World::empty(name);
    let change = |template: &mut Value| {
        let id = |number: usize| format!("port-{number}");
        template["ports"] = (0..ports.len())
            .map(|number| {
                let (set, add) = ports[number].split_at(ports[number].len() / 2);
                let headers = json!({"set": named("X-Set-", set), "add": named("X-Add-", add)});
                json!({"portId": id(number), "httpProxy": {"requestHeaders": headers}})
            })
            .collect();
        template["options"]["imageConfig"]["values"][0]["spec"]["ports"] =
            (0..ports.len()).map(|number| json!({"id": id(number), "port": 8000 + number})).collect();
        template["extraEnv"] = json!([]);
    };
    let lab = accepted(&world, change, &json!({}));
    let route = lab.child(Child::VirtualService);
    for (number, values) in ports.iter().enumerate() {
        let (set, add) = values.split_at(values.len() / 2);
        let request = &route["spec"]["http"][number]["headers"]["request"];
        let arrived = |list: &str| request.get(list).cloned().unwrap_or_else(|| json!({}));
        assert!(arrived("set") == json!(named("X-Set-", set)), "port {number}");
        assert!(arrived("add") == json!(named("X-Add-", add)), "port {number}");
    }
    (values.len(), bad.len())
}

#[test]
fn any_text_arrives_as_it_is_or_is_refused_at_its_field() {
    let mut arrived = variables_and_annotations_arrive("variables", &all());
    arrived += variables_and_annotations_arrive("variable-pairs", &pairs());
    arrived += variables_and_annotations_arrive("random-variables", &random(10_000));
    let characters = all();
    arrived += commands_and_attributes_arrive("commands", &characters, &texts(&characters, 150, ""));
    let mut odd_keys: Vec<String> = texts(&pairs(), 100, "");
    let words =
        ["<<", "=", "y", "null", "~", "", "!", "- a", "a: b", "{}", "[", "#", "0x1", "1e3", ".inf", "2001-01-01"];
    odd_keys.extend(words.map(str::to_owned));
    odd_keys.push("k".repeat(KEY_MAX));
    arrived += commands_and_attributes_arrive("odd-keys", &pairs(), &odd_keys);
    let (values, refused) = headers_arrive_or_are_refused("headers", &characters);
    arrived += values;
    let (values, _) = headers_arrive_or_are_refused("random-headers", &random(5_000));
    arrived += values;
    // C0 but TAB, DEL, C1, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF, and '%', which begins an Envoy command operator.
    assert_eq!(refused, 31 + 1 + 32 + 5 + 1);
    println!("G4 pass {arrived} {arrived}");
}
