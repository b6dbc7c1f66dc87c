//! Where a schema has a field: to say where one went that is not where it is written.

use super::schema::Schema;

/// How many places a hint lists: of a name that is in more of them none is likelier than the others.
const PLACES_MAX: usize = 3;
/// The shortest name of which a similar one is looked for anywhere: of shorter ones too many are similar.
const SIMILAR_MIN: usize = 8;

/// A field of ours and its path.
struct Place<'a> {
    name: &'a str,
    path: String,
}

/// The paths below `spec` of the fields with this name, apart from case, such as `spec.podTemplate.ports[].httpProxy`;
/// of fields of ours only, since those of a volume or a probe are rarely meant. Empty where there are none, or too many.
pub(super) fn exact(root: &Schema, wanted: &str) -> Vec<String> {
    named(&fields_of(root), wanted)
}

/// The same for the fields with the most similar name.
pub(super) fn similar(root: &Schema, wanted: &str) -> Vec<String> {
    if wanted.chars().count() < SIMILAR_MIN {
        return Vec::new();
    }
    let fields = fields_of(root);
    let nearest = crds::nearest::nearest(wanted, fields.iter().map(|place| place.name));
    nearest.map(|name| named(&fields, name)).unwrap_or_default()
}

fn named(fields: &[Place<'_>], name: &str) -> Vec<String> {
    let found: Vec<_> = fields.iter().filter(|place| place.name.eq_ignore_ascii_case(name)).collect();
    if found.len() > PLACES_MAX { Vec::new() } else { found.iter().map(|place| place.path.clone()).collect() }
}

fn fields_of(root: &Schema) -> Vec<Place<'_>> {
    let mut fields = Vec::new();
    if let Some(spec) = root.properties.get("spec") {
        collect(spec, "spec", &mut fields);
    }
    fields
}

/// Every field of ours below a node; below those of Kubernetes there are none.
fn collect<'a>(schema: &'a Schema, path: &str, fields: &mut Vec<Place<'a>>) {
    for (name, child) in schema.properties.iter().filter(|(_, child)| child.is_ours) {
        let path = format!("{path}.{name}");
        collect(child, &path, fields);
        fields.push(Place { name, path });
    }
    if let Some(items) = &schema.items {
        collect(items, &format!("{path}[]"), fields);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crds::generate::{workspace_crd, workspace_kind_crd};

    use super::*;

    #[test]
    fn a_field_is_found_wherever_it_is() {
        let kind = Schema::of_crd(&workspace_kind_crd()).unwrap();
        let workspace = Schema::of_crd(&workspace_crd()).unwrap();
        for (schema, wanted, expected) in [
            (&kind, "httpProxy", &["spec.podTemplate.ports[].httpProxy"][..]),
            (&kind, "HTTPProxy", &["spec.podTemplate.ports[].httpProxy"]),
            (&kind, "imageConfig", &["spec.podTemplate.options.imageConfig"]),
            // A flexVolume has options too.
            (&kind, "options", &["spec.podTemplate.options"]),
            (&workspace, "imageConfig", &["spec.podTemplate.options.imageConfig"]),
            (&workspace, "pvcName", &["spec.podTemplate.volumes.data[].pvcName"]),
            // Fields of volumes and probes.
            (&kind, "initialDelaySeconds", &[]),
            (&kind, "volume", &[]),
            (&kind, "kind", &[]),
            // In too many places, or in none.
            (&kind, "name", &[]),
            (&kind, "zzzzz", &[]),
            (&workspace, "lab", &[]),
        ] {
            assert_eq!(exact(schema, wanted), expected, "{wanted}");
        }
        assert_eq!(similar(&kind, "requestHeader"), ["spec.podTemplate.ports[].httpProxy.requestHeaders"]);
        for wanted in ["initialDelaySecond", "zzzzz", "lab"] {
            assert_eq!(similar(&kind, wanted), [""; 0], "{wanted}");
        }
    }

    #[test]
    fn status_and_metadata_are_no_places() {
        let workspace = Schema::of_crd(&workspace_crd()).unwrap();
        for wanted in ["stateMessage", "finalizers"] {
            assert_eq!((exact(&workspace, wanted), similar(&workspace, wanted)), (Vec::new(), Vec::new()), "{wanted}");
        }
    }
}
