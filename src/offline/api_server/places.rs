//! Where a schema has a field: to say where one went that is not where it is written.

use super::schema::Schema;

/// How many places a hint lists: of a name that is in more of them none is likelier than the others.
const PLACES_MAX: usize = 3;
/// The shortest name of which a similar one is looked for anywhere: of shorter ones too many are similar.
const SIMILAR_MIN: usize = 5;

/// A field and its path.
struct Place<'a> {
    name: &'a str,
    path: String,
    is_ours: bool,
}

/// The paths below `spec` of the fields with this name, or else of those with the most similar one, such as
/// `spec.podTemplate.ports[].httpProxy`; of fields of ours rather than of those of a volume or a probe. Empty where
/// there are none, or too many.
pub(super) fn places(root: &Schema, wanted: &str) -> Vec<String> {
    let Some(spec) = root.properties.get("spec") else { return Vec::new() };
    let mut fields = Vec::new();
    collect(spec, "spec", &mut fields);
    let mut found = named(&fields, wanted);
    if found.is_empty() && wanted.chars().count() >= SIMILAR_MIN {
        let nearest = crds::nearest::nearest(wanted, fields.iter().map(|place| place.name));
        found = nearest.map(|name| named(&fields, name)).unwrap_or_default();
    }
    if found.iter().any(|place| place.is_ours) {
        found.retain(|place| place.is_ours);
    }
    if found.len() > PLACES_MAX { Vec::new() } else { found.iter().map(|place| place.path.clone()).collect() }
}

fn named<'a>(fields: &'a [Place<'a>], name: &str) -> Vec<&'a Place<'a>> {
    fields.iter().filter(|place| place.name.eq_ignore_ascii_case(name)).collect()
}

/// Every field below a node.
fn collect<'a>(schema: &'a Schema, path: &str, fields: &mut Vec<Place<'a>>) {
    for (name, child) in &schema.properties {
        let path = format!("{path}.{name}");
        collect(child, &path, fields);
        fields.push(Place { name, path, is_ours: child.is_ours });
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
            (&kind, "requestHeader", &["spec.podTemplate.ports[].httpProxy.requestHeaders"]),
            (&kind, "imageConfig", &["spec.podTemplate.options.imageConfig"]),
            // A flexVolume has options too.
            (&kind, "options", &["spec.podTemplate.options"]),
            (
                &kind,
                "initialDelaySecond",
                &[
                    "spec.podTemplate.probes.livenessProbe.initialDelaySeconds",
                    "spec.podTemplate.probes.readinessProbe.initialDelaySeconds",
                    "spec.podTemplate.probes.startupProbe.initialDelaySeconds",
                ],
            ),
            (&workspace, "imageConfig", &["spec.podTemplate.options.imageConfig"]),
            (&workspace, "pvcName", &["spec.podTemplate.volumes.data[].pvcName"]),
            // In too many places, or in none.
            (&kind, "name", &[]),
            (&kind, "zzzzz", &[]),
            (&workspace, "lab", &[]),
        ] {
            assert_eq!(places(schema, wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn status_and_metadata_are_no_places() {
        let workspace = Schema::of_crd(&workspace_crd()).unwrap();
        assert_eq!(places(&workspace, "stateMessage"), [""; 0]);
        assert_eq!(places(&workspace, "finalizers"), [""; 0]);
    }
}
