//! `resources` of a container: requests, limits and claims.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ResourceClaim, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource;

use super::faults::PodFaults;
use super::syntax::NEGATIVE;
use crate::field_path::FieldPath;
use crate::labels::{SUBDOMAIN_MAX, dns_label_fault, qualified_name_fault};
use crate::quantity::{MALFORMED, Quantity};
use crate::value_template::cut;

/// What the names of page sizes start with.
const HUGE_PAGES: &str = "hugepages-";
/// What the names of requests start with in quotas.
const REQUESTS: &str = "requests.";

/// Resources of Kubernetes that a container has none of.
const OTHER_STANDARD_RESOURCES: [&str; 17] = [
    "configmaps",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];

/// Validates requests, limits and claims.
pub fn validate(resources: &ResourceRequirements, at: &FieldPath<'_>, faults: &mut PodFaults) {
    let (limits_at, requests_at) = (at.field("limits"), at.field("requests"));
    for (name, quantity) in resources.limits.iter().flatten() {
        validate_quantity(Resource(name), quantity, &limits_at.key(name), faults);
    }
    for (name, quantity) in resources.requests.iter().flatten() {
        let resource = Resource(name);
        let request = validate_quantity(resource, quantity, &requests_at.key(name), faults);
        match resources.limits.as_ref().and_then(|limits| limits.get(name)) {
            Some(limit) => {
                if let (Some(request), Some(limit)) = (request, parse(limit)) {
                    validate_request(resource, &request, &limit, &requests_at, faults);
                }
            }
            None if resource.may_be_overcommitted() => {}
            None => {
                faults.required(&limits_at, "Limit must be set for non overcommitable resources");
                faults.about(name);
                faults.hint(format!(": {}", cut(name)));
            }
        }
    }
    let mut names = resources.limits.iter().chain(&resources.requests).flatten().map(|(name, _)| Resource(name));
    if names.clone().any(Resource::is_huge_pages) && !names.any(|Resource(name)| matches!(name, "cpu" | "memory")) {
        faults.forbidden(at, "HugePages require cpu or memory");
    }
    validate_claims(resources.claims.as_deref().unwrap_or_default(), &at.field("claims"), faults);
}

/// A quantity as the API server keeps it.
fn parse(quantity: &resource::Quantity) -> Option<Quantity<'_>> {
    Quantity::parse(&quantity.0).map(Quantity::in_resource_list)
}

/// Validates the name of a resource and how much of it there is, and returns this if it can be compared.
fn validate_quantity<'a>(
    resource: Resource<'_>,
    quantity: &'a resource::Quantity,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) -> Option<Quantity<'a>> {
    let Resource(name) = resource;
    if let Some(detail) = resource.name_fault() {
        faults.invalid(at, name, detail);
    }
    let Some(parsed) = parse(quantity) else {
        faults.invalid(at, &quantity.0, MALFORMED);
        return None;
    };
    let mut invalid = |detail: String| faults.invalid(at, &*parsed.to_string(), detail);
    if parsed.is_negative() {
        invalid(NEGATIVE.to_owned());
    }
    if resource.is_extended() && parsed.thousandths() % 1000 != 0 {
        invalid("must be an integer".to_owned());
    }
    if resource.is_huge_pages() && !resource.is_multiple_of_page(&parsed) {
        invalid(format!("{parsed} is not positive integer multiple of {name}"));
    }
    Some(parsed)
}

/// Validates that a request does not exceed its limit. `at` is the path of all requests, as the API server reports it.
fn validate_request(
    resource: Resource<'_>,
    request: &Quantity<'_>,
    limit: &Quantity<'_>,
    at: &FieldPath<'_>,
    faults: &mut PodFaults,
) {
    let Resource(name) = resource;
    let limited = limit.to_string();
    let (name, limited) = (cut(name), cut(&limited));
    if request != limit && !resource.may_be_overcommitted() {
        faults.invalid(at, &*request.to_string(), format!("must be equal to {name} limit of {limited}"));
    } else if request > limit {
        faults.invalid(at, &*request.to_string(), format!("must be less than or equal to {name} limit of {limited}"));
    }
}

/// The name of a resource.
#[derive(Clone, Copy)]
struct Resource<'a>(&'a str);

impl Resource<'_> {
    /// Why no container may have a resource of this name, if so.
    fn name_fault(self) -> Option<&'static str> {
        let Self(name) = self;
        if let Some(detail) = qualified_name_fault(name) {
            return Some(detail);
        }
        if name.contains('/') {
            let known = self.is_native() || self.is_extended();
            return (!known).then_some("doesn't follow extended resource name standard");
        }
        if matches!(name, "cpu" | "memory" | "ephemeral-storage") || self.is_huge_pages() {
            return None;
        }
        let of_quota = name.strip_prefix(REQUESTS).is_some_and(|name| Resource(name).is_huge_pages());
        Some(if of_quota || OTHER_STANDARD_RESOURCES.contains(&name) {
            "must be a standard resource for containers"
        } else {
            "must be a standard resource type or fully qualified"
        })
    }

    /// Whether the resource is one of Kubernetes itself.
    fn is_native(self) -> bool {
        !self.0.contains('/') || self.0.contains("kubernetes.io/")
    }

    /// Whether the resource is one of a device plugin, which has it in whole pieces. Its name has to fit into a quota,
    /// with a prefix.
    fn is_extended(self) -> bool {
        let fits = |(prefix, _): (&str, &str)| prefix.len() + REQUESTS.len() <= SUBDOMAIN_MAX;
        !self.is_native()
            && !self.0.starts_with(REQUESTS)
            && self.0.split_once('/').is_some_and(fits)
            && qualified_name_fault(self.0).is_none()
    }

    fn is_huge_pages(self) -> bool {
        self.0.starts_with(HUGE_PAGES)
    }

    /// Whether a container may use more of the resource than it requests.
    fn may_be_overcommitted(self) -> bool {
        self.is_native() && !self.is_huge_pages()
    }

    /// Whether the quantity is made of whole pages of the size that the name states.
    fn is_multiple_of_page(self, quantity: &Quantity<'_>) -> bool {
        let size = self.0.strip_prefix(HUGE_PAGES).and_then(Quantity::parse);
        let size = size.filter(|size| !size.is_negative() && size.thousandths() % 1000 == 0);
        size.is_some_and(|size| quantity.units().checked_rem(size.units()) == Some(0))
    }
}

/// Validates the names of claims. A kind has no `resourceClaims` that they could name.
fn validate_claims(claims: &[ResourceClaim], at: &FieldPath<'_>, faults: &mut PodFaults) {
    let mut known: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let at = at.index(index);
        let (name, request) = (&*claim.name, claim.request.as_deref().unwrap_or_default());
        if name.is_empty() {
            faults.required(&at, "");
            continue;
        }
        match known.range((name, "")..).next() {
            // A claim without a request stands for all of its requests.
            Some((other, first)) if *other == name && (first.is_empty() || request.is_empty()) => {
                faults.duplicate(&at, name);
            }
            _ if request.is_empty() => {}
            _ => {
                if let Some(detail) = dns_label_fault(request) {
                    faults.invalid(&at.field("request"), request, detail);
                }
                if known.contains(&(name, request)) {
                    faults.duplicate(&at, name);
                }
            }
        }
        known.insert((name, request));
        faults.not_found(&at, name);
        faults.hint(": must be one of the names in pod.spec.resourceClaims which is empty");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn faults_of(resources: &Value) -> Vec<String> {
        let resources: ResourceRequirements = serde_json::from_value(resources.clone()).expect("resources");
        PodFaults::of(|faults| validate(&resources, &FieldPath::root("resources"), faults)).written()
    }

    #[test]
    fn accepts_what_the_api_server_accepts() {
        for resources in [
            json!({}),
            json!({"requests": {}, "limits": {}, "claims": []}),
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1.5Gi"}}),
            json!({"requests": {"cpu": 0, "ephemeral-storage": "0.1m"}, "limits": {"ephemeral-storage": "1m"}}),
            json!({"limits": {"nvidia.com/gpu": "1"}}),
            json!({"requests": {"nvidia.com/gpu": "2k"}, "limits": {"nvidia.com/gpu": 2000}}),
            json!({"requests": {"example.kubernetes.io/native": "1500m"}}),
            json!({"requests": {"memory": "1Gi"}, "limits": {"hugepages-2Mi": "4Mi", "hugepages-1Gi": "0"}}),
            json!({"requests": {"hugepages-2Mi": "4Mi"}, "limits": {"hugepages-2Mi": "4096Ki", "cpu": "1"}}),
            json!({"limits": {"nvidia.com/gpu": "10E"}}),
        ] {
            assert_eq!(faults_of(&resources), [""; 0], "{resources}");
        }
    }

    #[test]
    fn quantities_are_not_negative_and_well_formed() {
        assert_eq!(
            faults_of(&json!({
                "limits": {"cpu": "-0.5", "memory": "1e1.5", "nvidia.com/gpu": "1.5"},
                "requests": {"cpu": "-1", "memory": "x", "nvidia.com/gpu": "500m"},
            })),
            [
                r#"resources.limits[cpu]: Invalid value: "-500m": must be greater than or equal to 0"#.to_owned(),
                format!(r#"resources.limits[memory]: Invalid value: "1e1.5": {MALFORMED}"#),
                r#"resources.limits[nvidia.com/gpu]: Invalid value: "1500m": must be an integer"#.to_owned(),
                r#"resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0"#.to_owned(),
                format!(r#"resources.requests[memory]: Invalid value: "x": {MALFORMED}"#),
                r#"resources.requests[nvidia.com/gpu]: Invalid value: "500m": must be an integer"#.to_owned(),
                r#"resources.requests: Invalid value: "500m": must be equal to nvidia.com/gpu limit of 1500m"#
                    .to_owned(),
            ]
        );
        // Beyond 64 bits of thousandths, the API server counts wrongly.
        assert_eq!(
            faults_of(&json!({"limits": {"nvidia.com/gpu": "1Ei"}})),
            [r#"resources.limits[nvidia.com/gpu]: Invalid value: "1Ei": must be an integer"#]
        );
    }

    #[test]
    fn requests_are_within_limits() {
        let limit = "Required value: Limit must be set for non overcommitable resources";
        for (resources, expected) in [
            (
                json!({"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "1G"}}),
                vec![
                    r#"requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#.to_owned(),
                    r#"requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1G"#.to_owned(),
                ],
            ),
            (
                json!({"requests": {"cpu": "1100u"}, "limits": {"cpu": "1m"}}),
                vec![r#"requests: Invalid value: "2m": must be less than or equal to cpu limit of 1m"#.to_owned()],
            ),
            (json!({"requests": {"nvidia.com/gpu": "1"}}), vec![format!("limits: {limit}")]),
            (
                json!({"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "2"}}),
                vec![r#"requests: Invalid value: "1": must be equal to nvidia.com/gpu limit of 2"#.to_owned()],
            ),
            (json!({"requests": {"cpu": "1", "hugepages-2Mi": "2Mi"}}), vec![format!("limits: {limit}")]),
        ] {
            let expected: Vec<String> = expected.iter().map(|fault| format!("resources.{fault}")).collect();
            assert_eq!(faults_of(&resources), expected, "{resources}");
        }
    }

    #[test]
    fn huge_pages_are_whole_and_not_alone() {
        for (resources, expected) in [
            (json!({"limits": {"hugepages-2Mi": "4Mi"}}), vec![": Forbidden: HugePages require cpu or memory"]),
            (
                json!({"limits": {"cpu": "1", "hugepages-2Mi": "3Mi", "hugepages-big": "1", "hugepages-0": "0"}}),
                vec![
                    r#".limits[hugepages-0]: Invalid value: "0": 0 is not positive integer multiple of hugepages-0"#,
                    r#".limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
                    r#".limits[hugepages-big]: Invalid value: "1": 1 is not positive integer multiple of hugepages-big"#,
                ],
            ),
            (
                json!({"limits": {"cpu": "1", "hugepages-1500m": "3", "hugepages-1e30": "1e30"}}),
                vec![
                    r#".limits[hugepages-1500m]: Invalid value: "3": 3 is not positive integer multiple of hugepages-1500m"#,
                    r#".limits[hugepages-1e30]: Invalid value: "1e30": 1e30 is not positive integer multiple of hugepages-1e30"#,
                ],
            ),
        ] {
            let expected: Vec<String> = expected.iter().map(|fault| format!("resources{fault}")).collect();
            assert_eq!(faults_of(&resources), expected, "{resources}");
        }
    }

    #[test]
    fn names_are_those_of_resources_of_containers() {
        let longest = format!("{}/gpu", "a".repeat(SUBDOMAIN_MAX - REQUESTS.len()));
        assert_eq!(faults_of(&json!({"limits": {&longest: "1"}})), [""; 0]);
        let too_long = format!("a{longest}");
        let (syntax, prefix) =
            (qualified_name_fault("").unwrap_or_default(), qualified_name_fault("/").unwrap_or_default());
        for (name, detail) in [
            ("gpu", "must be a standard resource type or fully qualified"),
            ("CPU", "must be a standard resource type or fully qualified"),
            ("requests.cpu", "must be a standard resource for containers"),
            ("requests.hugepages-2Mi", "must be a standard resource for containers"),
            ("pods", "must be a standard resource for containers"),
            ("storage", "must be a standard resource for containers"),
            ("n vidia", syntax),
            ("", syntax),
            ("Nvidia.com/gpu", prefix),
            ("requests.nvidia.com/gpu", "doesn't follow extended resource name standard"),
            (&too_long, "doesn't follow extended resource name standard"),
        ] {
            let expected = format!("resources.limits[{name}]: Invalid value: {name:?}: {detail}");
            assert_eq!(faults_of(&json!({"limits": {name: "1"}})), [expected]);
        }
    }

    #[test]
    fn no_claim_is_known() {
        assert_eq!(
            faults_of(&json!({"claims": [
                {"name": "gpu"}, {"name": "gpu", "request": "A"}, {"name": ""}, {"name": "b", "request": "A"}, {"name": "b"},
                {"name": "c", "request": "a"}, {"name": "c", "request": "b"},
            ]})),
            [
                r#"resources.claims[0]: Not found: "gpu""#.to_owned(),
                r#"resources.claims[1]: Duplicate value: "gpu""#.to_owned(),
                r#"resources.claims[1]: Not found: "gpu""#.to_owned(),
                "resources.claims[2]: Required value".to_owned(),
                format!(
                    r#"resources.claims[3].request: Invalid value: "A": {}"#,
                    dns_label_fault("A").unwrap_or_default()
                ),
                r#"resources.claims[3]: Not found: "b""#.to_owned(),
                r#"resources.claims[4]: Duplicate value: "b""#.to_owned(),
                r#"resources.claims[4]: Not found: "b""#.to_owned(),
                r#"resources.claims[5]: Not found: "c""#.to_owned(),
                r#"resources.claims[6]: Not found: "c""#.to_owned(),
            ]
        );
    }
}
