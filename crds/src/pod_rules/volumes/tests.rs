#![allow(clippy::needless_pass_by_value)]
use serde_json::{Value, json};

use super::*;
use crate::labels::{label_value_fault, qualified_name_fault};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character, and be no more than 253 characters";

/// What is wrong with a volume `v` that has these fields, below its path.
fn faults_of(mut fields: Value) -> Vec<String> {
    let name = fields.get("name").and_then(Value::as_str).unwrap_or("v").to_owned();
    fields["name"] = name.clone().into();
    let volume: Volume = serde_json::from_value(fields).expect("a volume");
    let at = FieldPath::root("extraVolumes");
    let prefix = format!("extraVolumes[{name}].");
    let faults = PodFaults::of(|faults| validate(&[volume], &at, faults)).written();
    faults.into_iter().map(|fault| fault.strip_prefix(&prefix).map_or(fault.clone(), str::to_owned)).collect()
}

#[track_caller]
fn accepted(source: &str, values: impl IntoIterator<Item = Value>) {
    for value in values {
        assert_eq!(faults_of(json!({source: value})), [""; 0], "{source} {value}");
    }
}

#[track_caller]
fn rejected<const N: usize>(source: &str, value: Value, expected: [&str; N]) {
    let expected = expected.map(|fault| format!("{source}{fault}"));
    assert_eq!(faults_of(json!({source: value})), expected, "{value}");
}

/// A projected volume of one source.
fn projected(source: Value) -> Value {
    json!({"sources": [source]})
}

/// An ephemeral volume whose claim has the fields of `other` in place of those that it needs.
fn claim(other: Value) -> Value {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    for (name, value) in other.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    json!({"volumeClaimTemplate": {"spec": spec}})
}

#[test]
fn a_name_is_a_dns_label() {
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                 end with an alphanumeric character (e.g. 'my-name')";
    assert_eq!(faults_of(json!({"name": "a".repeat(63), "emptyDir": {}})), [""; 0]);
    assert_eq!(faults_of(json!({"name": "", "emptyDir": {}})), ["name: Required value"]);
    for (name, detail) in [("My_Volume", label), ("-a", label), ("a.b", "must not contain dots")] {
        let expected = format!("name: Invalid value: \"{name}\": {detail}");
        assert_eq!(faults_of(json!({"name": name, "emptyDir": {}})), [expected]);
    }
    let long = "a".repeat(64);
    let expected = format!("name: Invalid value: \"{long}\": must be no more than 63 characters");
    assert_eq!(faults_of(json!({"name": long, "emptyDir": {}})), [expected]);
}

#[test]
fn a_volume_has_at_most_one_source() {
    // The API server makes it an `emptyDir`.
    assert_eq!(faults_of(json!({})), [""; 0]);
    let two_many = "Forbidden: may not specify more than 1 volume type";
    let faults = faults_of(json!({"secret": {"secretName": "s"}, "emptyDir": {}}));
    assert_eq!(faults, [format!("secret: {two_many}")]);
    // What is in those that are too many is not judged.
    let faults = faults_of(json!({"hostPath": {"path": ""}, "image": {}, "cephfs": {"monitors": []}}));
    assert_eq!(
        faults,
        ["hostPath.path: Required value".to_owned(), format!("cephfs: {two_many}"), format!("image: {two_many}")]
    );
}

#[test]
fn every_source_is_counted() {
    let sources = json!({
        "awsElasticBlockStore": {"volumeID": "a"},
        "azureDisk": {"diskName": "a", "diskURI": "https://a"},
        "azureFile": {"secretName": "a", "shareName": "a"},
        "cephfs": {"monitors": ["a"]},
        "cinder": {"volumeID": "a"},
        "configMap": {"name": "a"},
        "csi": {"driver": "a"},
        "downwardAPI": {},
        "emptyDir": {},
        "ephemeral": claim(json!({})),
        "fc": {"wwids": ["a"]},
        "flexVolume": {"driver": "a"},
        "flocker": {"datasetName": "a"},
        "gcePersistentDisk": {"pdName": "a"},
        "gitRepo": {"repository": "a"},
        "glusterfs": {"endpoints": "a", "path": "a"},
        "hostPath": {"path": "/a"},
        "image": {"reference": "a"},
        "iscsi": {"targetPortal": "a", "iqn": "iqn.2001-04.com.example:a", "lun": 0},
        "nfs": {"server": "a", "path": "/a"},
        "persistentVolumeClaim": {"claimName": "a"},
        "photonPersistentDisk": {"pdID": "a"},
        "portworxVolume": {"volumeID": "a"},
        "projected": {},
        "quobyte": {"registry": "a:1", "volume": "a"},
        "rbd": {"image": "a", "monitors": ["a"]},
        "scaleIO": {"gateway": "a", "system": "a", "volumeName": "a", "secretRef": {"name": "a"}},
        "secret": {"secretName": "a"},
        "storageos": {"volumeName": "a"},
        "vsphereVolume": {"volumePath": "a"},
    });
    let known = sources.as_object().expect("sources");
    // Our type has these fields and the name.
    let all: Volume = serde_json::from_value(json!({"name": "v"})).expect("a volume");
    assert_eq!(format!("{all:?}").matches(": None").count(), known.len());
    for (source, value) in known {
        accepted(source, [value.clone()]);
    }
    assert_eq!(faults_of(sources.clone()).len(), known.len() - 1);
}

#[test]
fn sources_of_files() {
    accepted(
        "secret",
        [
            json!({"secretName": "s", "defaultMode": 0, "optional": true}),
            json!({"secretName": "s", "items": [{"key": "k", "path": "a/..b/c", "mode": 0o777}]}),
        ],
    );
    rejected(
        "secret",
        json!({"defaultMode": 512}),
        [
            ".secretName: Required value",
            ".defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
        ],
    );
    rejected(
        "configMap",
        json!({"name": "", "defaultMode": -1}),
        [
            ".name: Required value",
            ".defaultMode: Invalid value: -1: must be a number between 0 and 0777 (octal), both inclusive",
        ],
    );
    let items = json!([
        {"key": "", "path": ""},
        {"key": "k", "path": "/a", "mode": 512},
        {"key": "k", "path": "a/../b"},
        {"key": "k", "path": "..data"},
    ]);
    let expected = [
        ".items[0].key: Required value",
        ".items[0].path: Required value",
        ".items[1].path: Invalid value: \"/a\": must be a relative path",
        ".items[1].mode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
        ".items[2].path: Invalid value: \"a/../b\": must not contain '..'",
        ".items[3].path: Invalid value: \"..data\": must not start with '..'",
    ];
    rejected("secret", json!({"secretName": "s", "items": items}), expected);
    rejected("configMap", json!({"name": "s", "items": items}), expected);
    let expected = expected.map(|fault| format!(".sources[0].secret{fault}"));
    rejected(
        "projected",
        projected(json!({"secret": {"name": "s", "items": items}})),
        [&expected[0], &expected[1], &expected[2], &expected[3], &expected[4], &expected[5]],
    );
}

#[test]
fn fields_of_the_pod() {
    let resource = json!({"containerName": "main", "resource": "limits.cpu", "divisor": "1m"});
    accepted(
        "downwardAPI",
        [
            json!({"defaultMode": 0o400}),
            json!({"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}),
            json!({"items": [{"path": "team", "fieldRef": {"fieldPath": "metadata.labels['example.com/team']"}}]}),
            json!({"items": [{"path": "cpu", "resourceFieldRef": resource}]}),
        ],
    );
    let items = json!([
        {"path": "../a", "mode": 512},
        {"path": "b", "fieldRef": {"fieldPath": "metadata.name"}, "resourceFieldRef": resource},
        {"path": "c", "fieldRef": {"fieldPath": "spec.nodeName"}},
        {"path": "d", "resourceFieldRef": {"resource": "x"}},
    ]);
    let expected = [
        ".items[0].path: Invalid value: \"../a\": must not contain '..'",
        ".items[0]: Required value: one of fieldRef and resourceFieldRef is required",
        ".items[0].mode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
        ".items[1]: Invalid value: \"resource\": fieldRef and resourceFieldRef can not be specified simultaneously",
        ".items[2].fieldRef.fieldPath: Unsupported value: \"spec.nodeName\": supported values: \"metadata.annotations\", \
         \"metadata.labels\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\"",
        ".items[3].resourceFieldRef.containerName: Required value",
    ];
    rejected("downwardAPI", json!({"items": items}), expected);
    let expected = expected.map(|fault| format!(".sources[0].downwardAPI{fault}"));
    rejected(
        "projected",
        projected(json!({"downwardAPI": {"items": items}})),
        [&expected[0], &expected[1], &expected[2], &expected[3], &expected[4], &expected[5]],
    );
}

#[test]
fn projected_sources() {
    let item = |key: &str, path: &str| json!({"key": key, "path": path});
    accepted(
        "projected",
        [
            json!({}),
            projected(json!({})),
            projected(json!({"serviceAccountToken": {"path": "token"}})),
            projected(json!({"serviceAccountToken": {"path": "token", "expirationSeconds": 1_u64 << 32}})),
            // Dropped where the feature gate is off, as it is by default.
            projected(json!({"clusterTrustBundle": {"path": ""}, "secret": {"name": "s"}})),
            json!({"sources": [
                {"secret": {"name": "s", "items": [item("k", "a")]}},
                {"configMap": {"name": "s", "items": [item("k", "b")]}},
                {"serviceAccountToken": {"path": "a"}},
            ]}),
        ],
    );
    let two = json!({"secret": {"name": ""}, "configMap": {"name": "c"}});
    rejected(
        "projected",
        json!({"defaultMode": 512, "sources": [two]}),
        [
            ".defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            ".sources[0].secret.name: Required value",
            ".sources[0]: Forbidden: may not specify more than 1 volume type per source",
        ],
    );
    let tokens = json!([
        {"serviceAccountToken": {"path": "", "expirationSeconds": 599}},
        {"serviceAccountToken": {"path": "../t", "expirationSeconds": (1_u64 << 32) + 1}},
    ]);
    let at = ".sources[1].serviceAccountToken";
    rejected(
        "projected",
        json!({"sources": tokens}),
        [
            ".sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 \
         minutes",
            ".sources[0].serviceAccountToken.path: Required value",
            &format!(
                "{at}.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"
            ),
            &format!("{at}.path: Invalid value: \"../t\": must not contain '..'"),
        ],
    );
    let same = json!([
        {"secret": {"name": "s", "items": [item("k", "a"), item("l", "a")]}},
        {"configMap": {"name": "c", "items": [item("k", "a")]}},
        {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]);
    rejected(
        "projected",
        json!({"sources": same}),
        [
            ": Invalid value: \"s\": conflicting duplicate paths",
            ": Invalid value: \"c\": conflicting duplicate paths",
            ": Invalid value: \"a\": conflicting duplicate paths",
        ],
    );
}

#[test]
fn claims_and_claim_templates() {
    rejected("persistentVolumeClaim", json!({"claimName": ""}), [".claimName: Required value"]);
    let reference = json!({"kind": "PersistentVolumeClaim", "name": "c"});
    accepted(
        "ephemeral",
        [
            claim(json!({"storageClassName": "", "volumeMode": "Block", "selector": {"matchLabels": {"a": "b"}}})),
            claim(json!({"dataSource": reference, "dataSourceRef": reference})),
            claim(
                json!({"dataSourceRef": {"apiGroup": "example.com", "kind": "Image", "name": "i", "namespace": "n"}}),
            ),
            claim(
                json!({"accessModes": ["ReadOnlyMany", "ReadWriteOnce"], "resources": {"requests": {"storage": "0.1m"}}}),
            ),
        ],
    );
    rejected("ephemeral", json!({}), [".volumeClaimTemplate: Required value"]);
    let spec = ".volumeClaimTemplate.spec";
    let modes = "supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"";
    let cases = [
        (json!({"accessModes": []}), "accessModes: Required value: at least 1 access mode is required".to_owned()),
        (json!({"accessModes": ["RWO"]}), format!("accessModes: Unsupported value: \"RWO\": {modes}")),
        (
            json!({"accessModes": ["ReadWriteOncePod", "ReadWriteOnce"]}),
            "accessModes: Forbidden: may not use ReadWriteOncePod with other access modes".to_owned(),
        ),
        (json!({"resources": {"limits": {"storage": "1"}}}), "resources.requests[storage]: Required value".to_owned()),
        (
            json!({"resources": {"requests": {"storage": "-1024Mi"}}}),
            "resources.requests[storage]: Invalid value: \"-1Gi\": must be greater than zero".to_owned(),
        ),
        (
            json!({"resources": {"requests": {"storage": "1"}, "limits": {"x": "1e1.5"}}}),
            format!("resources.limits[x]: Invalid value: \"1e1.5\": {MALFORMED}"),
        ),
        (json!({"storageClassName": "A"}), format!("storageClassName: Invalid value: \"A\": {SUBDOMAIN}")),
        (
            json!({"volumeAttributesClassName": "A"}),
            format!("volumeAttributesClassName: Invalid value: \"A\": {SUBDOMAIN}"),
        ),
        (
            json!({"volumeMode": ""}),
            "volumeMode: Unsupported value: \"\": supported values: \"Block\", \"Filesystem\"".to_owned(),
        ),
        (
            json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}),
            "selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator".to_owned(),
        ),
        (
            json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": ""}}),
            "dataSource.name: Required value".to_owned(),
        ),
        (
            json!({"dataSource": {"kind": "VolumeSnapshot", "name": "s"}}),
            "dataSource: Invalid value: \"VolumeSnapshot\": must be 'PersistentVolumeClaim' when referencing the default \
             apiGroup"
                .to_owned(),
        ),
        (
            json!({"dataSourceRef": {"apiGroup": "A", "kind": "Image", "name": "i"}}),
            format!("dataSourceRef.apiGroup: Invalid value: \"A\": {SUBDOMAIN}"),
        ),
        (
            json!({"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "i", "namespace": "a.b"}}),
            "dataSourceRef.namespace: Invalid value: \"a.b\": must not contain dots".to_owned(),
        ),
    ];
    for (other, expected) in cases {
        rejected("ephemeral", claim(other), [&format!("{spec}.{expected}")]);
    }
    let (mut other, mut elsewhere) = (reference.clone(), reference.clone());
    other["name"] = "d".into();
    rejected(
        "ephemeral",
        claim(json!({"dataSource": reference, "dataSourceRef": other})),
        [&format!("{spec}: Invalid value: \"dataSource\": must match dataSourceRef")],
    );
    elsewhere["namespace"] = "n".into();
    rejected(
        "ephemeral",
        claim(json!({"dataSource": reference, "dataSourceRef": elsewhere})),
        [&format!(
            "{spec}: Invalid value: \"dataSource\": may not be specified when dataSourceRef.namespace is specified"
        )],
    );
}

#[test]
fn metadata_of_a_claim() {
    let with = |metadata: Value| {
        let mut source = claim(json!({}));
        source["volumeClaimTemplate"]["metadata"] = metadata;
        source
    };
    accepted("ephemeral", [with(json!({"labels": {"a": "b"}, "annotations": {"EXAMPLE.com/a": "b c"}}))]);
    let (key, value) = (qualified_name_fault(" ").unwrap_or_default(), label_value_fault(" ").unwrap_or_default());
    let at = ".volumeClaimTemplate.metadata";
    rejected(
        "ephemeral",
        with(json!({"labels": {" ": "b c"}, "annotations": {" ": "b c"}})),
        [
            &format!("{at}.annotations: Invalid value: \" \": {key}"),
            &format!("{at}.labels: Invalid value: \" \": {key}"),
            &format!("{at}.labels: Invalid value: \"b c\": {value}"),
        ],
    );
    rejected(
        "ephemeral",
        with(json!({"annotations": {"a": "b".repeat(256 * 1024)}})),
        [&format!("{at}.annotations: Too long: may not be more than 262144 bytes")],
    );
}

#[test]
fn empty_dirs_host_paths_and_nfs() {
    accepted("emptyDir", [json!({"medium": "anything"}), json!({"sizeLimit": "0"}), json!({"sizeLimit": "-0"})]);
    let size = ".sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity";
    rejected("emptyDir", json!({"sizeLimit": "-1n"}), [size]);
    rejected(
        "emptyDir",
        json!({"sizeLimit": "1e1.5"}),
        [&format!(".sizeLimit: Invalid value: \"1e1.5\": {MALFORMED}")],
    );
    accepted("hostPath", [json!({"path": "relative", "type": ""}), json!({"path": "/..a", "type": "Socket"})]);
    rejected("hostPath", json!({"path": "", "type": "x"}), [".path: Required value"]);
    rejected(
        "hostPath",
        json!({"path": "/a/..", "type": "directory"}),
        [
            ".path: Invalid value: \"/a/..\": must not contain '..'",
            ".type: Unsupported value: \"directory\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \
         \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
        ],
    );
    rejected("nfs", json!({"server": "", "path": ""}), [".server: Required value", ".path: Required value"]);
    rejected("nfs", json!({"server": "s", "path": "a"}), [".path: Invalid value: \"a\": must be an absolute path"]);
}

#[test]
fn csi_drivers_and_images() {
    accepted("csi", [json!({"driver": "CSI.Example.com", "nodePublishSecretRef": {"name": "s"}})]);
    rejected(
        "csi",
        json!({"driver": "", "nodePublishSecretRef": {"name": ""}}),
        [".driver: Required value", ".nodePublishSecretRef.name: Required value"],
    );
    rejected("csi", json!({"driver": "a".repeat(64)}), [".driver: Too long: may not be more than 63 bytes"]);
    rejected(
        "csi",
        json!({"driver": "A_b", "nodePublishSecretRef": {"name": "A"}}),
        [
            &format!(".driver: Invalid value: \"A_b\": {SUBDOMAIN}"),
            &format!(".nodePublishSecretRef.name: Invalid value: \"A\": {SUBDOMAIN}"),
        ],
    );
    accepted("image", [json!({"reference": "r", "pullPolicy": ""}), json!({"reference": "r", "pullPolicy": "Never"})]);
    rejected(
        "image",
        json!({"pullPolicy": "Sometimes"}),
        [
            ".reference: Required value",
            ".pullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ],
    );
}

#[test]
fn required_fields_of_storage_products() {
    for (source, value, fields) in [
        ("gcePersistentDisk", json!({"pdName": ""}), &["pdName"][..]),
        ("awsElasticBlockStore", json!({"volumeID": ""}), &["volumeID"]),
        ("azureFile", json!({"secretName": "", "shareName": ""}), &["secretName", "shareName"]),
        ("azureDisk", json!({"diskName": "", "diskURI": ""}), &["diskName", "diskURI"]),
        ("glusterfs", json!({"endpoints": "", "path": ""}), &["endpoints", "path"]),
        ("vsphereVolume", json!({"volumePath": ""}), &["volumePath"]),
        ("photonPersistentDisk", json!({"pdID": ""}), &["pdID"]),
        ("portworxVolume", json!({"volumeID": ""}), &["volumeID"]),
        (
            "scaleIO",
            json!({"gateway": "", "system": "", "secretRef": {"name": ""}}),
            &["gateway", "system", "volumeName"],
        ),
        ("cinder", json!({"volumeID": "", "secretRef": {"name": ""}}), &["volumeID", "secretRef.name"]),
        ("rbd", json!({"monitors": [], "image": ""}), &["monitors", "image"]),
        ("cephfs", json!({"monitors": []}), &["monitors"]),
        ("gitRepo", json!({"repository": ""}), &["repository"]),
        ("storageos", json!({"secretRef": {"name": ""}}), &["volumeName", "secretRef.name"]),
        ("flexVolume", json!({"driver": ""}), &["driver"]),
        ("iscsi", json!({"targetPortal": "", "iqn": "", "lun": 0}), &["targetPortal", "iqn"]),
    ] {
        let expected: Vec<String> = fields.iter().map(|field| format!("{source}.{field}: Required value")).collect();
        assert_eq!(faults_of(json!({source: value})), expected, "{source}");
    }
}

#[test]
fn other_fields_of_storage_products() {
    let partition = ".partition: Invalid value: 256: must be between 1 and 255, inclusive";
    accepted("gcePersistentDisk", [json!({"pdName": "a", "partition": 0})]);
    rejected("gcePersistentDisk", json!({"pdName": "a", "partition": 256}), [partition]);
    rejected("awsElasticBlockStore", json!({"volumeID": "a", "partition": 256}), [partition]);
    rejected(
        "gitRepo",
        json!({"repository": "r", "directory": "/a"}),
        [".directory: Invalid value: \"/a\": must be a relative path"],
    );
    rejected("flocker", json!({}), [": Required value: one of datasetName and datasetUUID is required"]);
    rejected(
        "flocker",
        json!({"datasetName": "a/b", "datasetUUID": "c"}),
        [
            ": Invalid value: \"resource\": datasetName and datasetUUID can not be specified simultaneously",
            ".datasetName: Invalid value: \"a/b\": must not contain '/'",
        ],
    );
    rejected(
        "storageos",
        json!({"volumeName": "a.b", "volumeNamespace": "c.d"}),
        [
            ".volumeName: Invalid value: \"a.b\": must not contain dots",
            ".volumeNamespace: Invalid value: \"c.d\": must not contain dots",
        ],
    );
    rejected("fc", json!({}), [".targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]);
    rejected(
        "fc",
        json!({"targetWWNs": ["a"], "wwids": ["b"]}),
        [
            ".targetWWNs: Invalid value: [\"a\"]: targetWWNs and wwids can not be specified simultaneously",
            ".lun: Required value: lun is required if targetWWNs is specified",
        ],
    );
    rejected(
        "fc",
        json!({"targetWWNs": ["a"], "lun": 256}),
        [".lun: Invalid value: 256: must be between 0 and 255, inclusive"],
    );
    accepted("flexVolume", [json!({"driver": "d", "options": {"xk8s.io/a": "", "a/kubernetes.io": ""}})]);
    rejected(
        "flexVolume",
        json!({"driver": "d", "options": {"Kubernetes.io/a": "", "x.k8s.io": ""}}),
        [
            ".options[Kubernetes.io/a]: Invalid value: \"Kubernetes.io/a\": kubernetes.io and k8s.io namespaces are reserved",
            ".options[x.k8s.io]: Invalid value: \"x.k8s.io\": kubernetes.io and k8s.io namespaces are reserved",
        ],
    );
}

#[test]
fn azure_disks() {
    accepted(
        "azureDisk",
        [
            json!({"diskName": "a", "diskURI": "https://a", "cachingMode": "None"}),
            json!({"diskName": "a", "diskURI": "/subscriptions/a", "kind": "Managed"}),
        ],
    );
    rejected(
        "azureDisk",
        json!({"diskName": "a", "diskURI": "/subscriptions/a", "cachingMode": ""}),
        [
            ".cachingMode: Unsupported value: \"\": supported values: \"None\", \"ReadOnly\", \"ReadWrite\"",
            ".diskURI: Unsupported value: \"/subscriptions/a\": supported values: \
         \"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd\"",
        ],
    );
    rejected(
        "azureDisk",
        json!({"diskName": "a", "diskURI": "https://a", "kind": "Managed"}),
        [".diskURI: Unsupported value: \"https://a\": supported values: \
         \"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}\""],
    );
    rejected(
        "azureDisk",
        json!({"diskName": "a", "diskURI": "https://a", "kind": "managed"}),
        [".kind: Unsupported value: \"managed\": supported values: \"Dedicated\", \"Managed\", \"Shared\""],
    );
}

#[test]
fn quobyte_registries() {
    let with = |registry: &str| json!({"registry": registry, "volume": "v"});
    accepted("quobyte", ["a:1", "a:1,b:2", "[::1]:80", "[]:80", ":"].map(with));
    let detail = "must be a host:port pair or multiple pairs separated by commas";
    for registry in ["a", "a:1,b", "a:1,", "::1:80", "[::1]x:80", "[a]b:80", "[[a]]:80", "a]:1", "a:]"] {
        rejected("quobyte", with(registry), [&format!(".registry: Invalid value: \"{registry}\": {detail}")]);
    }
    rejected(
        "quobyte",
        json!({"registry": "", "volume": ""}),
        [&format!(".registry: Required value: {detail}"), ".volume: Required value"],
    );
    rejected(
        "quobyte",
        json!({"registry": "a:1", "volume": "v", "tenant": "t".repeat(65)}),
        [".tenant: Required value: must be a UUID and may not exceed a length of 64 characters"],
    );
}

#[test]
fn iscsi_names() {
    let with = |iqn: &str| json!({"targetPortal": "t", "iqn": iqn, "lun": 0});
    let (sixteen, thirty_two) = ("0123456789abcdef", "0123456789abcdef0123456789ABCDEF");
    accepted(
        "iscsi",
        ["iqn.2001-04.com.example:a:b", "iqnx.iqn.2001-04.com:a", "iqn.2001-04.a:ä", "iqn.a,b:iqn.2001-04.c:d"]
            .map(with),
    );
    accepted("iscsi", [with(&format!("eui.{sixteen}")), with(&format!("naa.{thirty_two}"))]);
    for iqn in [
        "iqn.2001-04.com.example",
        "iqn.2001-04.com.example:",
        "iqn.2001-04.:a",
        "iqn.01-04.com.example:a",
        "iqn.2001-04.com_example:a",
        "iqn.2001-04.com.example:a b",
        "iqn",
        "eui.0123",
        &format!("eui.{thirty_two}"),
        &format!("naa.{sixteen}"),
        "naaä",
    ] {
        rejected("iscsi", with(iqn), [&format!(".iqn: Invalid value: \"{iqn}\": must be valid format")]);
    }
    rejected("iscsi", with("ä"), [".iqn: Invalid value: \"ä\": must be valid format starting with iqn, eui, or naa"]);
    let (iqn, portal) = ("iqn.2001-04.com.example:a", "h".repeat(62));
    let long = json!({"targetPortal": portal, "iqn": iqn, "lun": -1, "initiatorName": "x", "chapAuthSession": true});
    assert_eq!(
        faults_of(json!({"name": "ab", "iscsi": long})),
        [
            "iscsi.lun: Invalid value: -1: must be between 0 and 255, inclusive",
            "iscsi.secretRef: Required value",
            "iscsi.initiatorName: Invalid value: \"x\": must be valid format starting with iqn, eui, or naa",
            "name: Invalid value: \"ab\": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
         iscsi.initiatorName is specified.",
        ]
    );
}
