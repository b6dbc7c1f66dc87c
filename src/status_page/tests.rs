//! The page of made-up facts: what it says, in which order, how much, and what it never says.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Instant;

use crds::ports::ConnectPaths;
use crds::testing;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use webhook::rule::Rule;
use webhook::{RefusedReview, ReviewedKind};

use super::facts::{CacheFacts, CertificateFacts, LeadershipFacts, ProcessFacts, ServedCertificate, StatusFacts};
use super::*;
use crate::metrics::{LastHour, MINUTES};
use crate::stores::collection::Collection;
use crate::stores::kind::StoredKind;
use crate::stores::slim::Key;
use crate::stores::workspace::StoredWorkspace;

fn now() -> Timestamp {
    "2026-05-04T03:02:01Z".parse().unwrap()
}

fn ago(minutes: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes)
}

/// A process with nothing to say but that it works.
fn fine() -> StatusFacts {
    StatusFacts {
        now: now(),
        process: ProcessFacts {
            version: "1.2.3",
            started: ago(125),
            mode: "everything",
            selector: None,
            reconciles: true,
            writes_statuses: true,
            admits: true,
        },
        leadership: None,
        certificate: Some(CertificateFacts {
            served: Some(ServedCertificate {
                not_before: ago(60 * 24 * 30),
                not_after: ago(-60 * 24 * 60),
                serial: "0a1b".to_owned(),
            }),
            error: None,
        }),
        readiness: vec![("certificate", Ok(())), ("caches", Ok(()))],
        caches: vec![CacheFacts {
            resource: "workspaces",
            progress: "synced",
            objects: 0,
            heard: Some(now() - SignedDuration::from_secs(12)),
            failing: None,
            is_missed: false,
        }],
        workspaces: Vec::new(),
        elsewhere: 0,
        kinds: vec![kind("jupyter", &[])],
        paths: Some(ConnectPaths::by_dialect()),
        refusals: Vec::new(),
        last_hour: LastHour { writes: vec![0; MINUTES], errors: vec![0; MINUTES], reviews: vec![0; MINUTES] },
    }
}

fn kind(name: &str, conditions: &[Value]) -> Arc<StoredKind> {
    let mut kind = serde_json::to_value(testing::workspace_kind(name)).unwrap();
    kind["status"] = json!({"workspaces": 0, "conditions": conditions});
    Arc::new(serde_json::from_value(kind).unwrap())
}

fn condition(type_: &str, status: &str, minutes: i64, reason: &str, message: &str) -> Value {
    let since = text::written(ago(minutes));
    json!({"type": type_, "status": status, "observedGeneration": 1, "lastTransitionTime": since, "reason": reason, "message": message})
}

fn workspace(namespace: &str, name: &str, state: &str, conditions: &[Value]) -> Arc<StoredWorkspace> {
    let mut workspace = serde_json::to_value(testing::workspace(namespace, name, "jupyter")).unwrap();
    let message = if state == "Error" { "of the pod" } else { "" };
    workspace["status"] =
        json!({"observedGeneration": 1, "state": state, "stateMessage": message, "conditions": conditions});
    Arc::new(serde_json::from_value(workspace).unwrap())
}

fn running(namespace: &str, name: &str) -> Arc<StoredWorkspace> {
    let in_place = condition("RouteReady", "True", 5, "Routed", "the VirtualService is in place");
    workspace(namespace, name, "Running", &[condition("Ready", "True", 5, "Running", "it runs"), in_place])
}

/// One of each.
fn troubled() -> StatusFacts {
    let ready = |minutes, reason: &str, message: &str| condition("Ready", "False", minutes, reason, message);
    let mut deleting = serde_json::to_value(testing::workspace("b", "deleting", "jupyter")).unwrap();
    deleting["metadata"]["deletionTimestamp"] = json!("2026-05-04T03:00:00Z");
    let mut unseen = serde_json::to_value(testing::workspace("b", "unseen", "jupyter")).unwrap();
    unseen["metadata"]["generation"] = json!(2);
    unseen["status"] = json!({"observedGeneration": 1, "state": "Running", "conditions": [condition("Ready", "True", 9, "Running", "")]});
    let stalled =
        condition("Stalled", "True", 90, "WorkspaceKindNotFound", "Workspace references unknown WorkspaceKind: gone");
    let mut lost = serde_json::to_value(testing::workspace("b", "lost", "gone")).unwrap();
    lost["status"] = json!({"state": "Error", "observedGeneration": 1, "conditions": [ready(90, "WorkspaceKindNotFound", "x"), stalled]});
    let unsafe_route = [
        ready(30, "RouteNotReady", "repeated"),
        condition(
            "RouteReady",
            "False",
            30,
            "UnsafeHeader",
            "spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X]: no",
        ),
    ];
    let peer = json!({"state": "Pending", "stateMessage": "as the Go controller says it"});
    let mut of_peer = serde_json::to_value(testing::workspace("b", "of-peer", "jupyter")).unwrap();
    of_peer["status"] = peer;
    let parsed = |workspace: Value| Arc::new(serde_json::from_value(workspace).unwrap());
    let workspaces = vec![
        running("a", "runs"),
        workspace("a", "crashes", "Error", &[ready(20, "PodError", "CrashLoopBackOff: exit code 137")]),
        workspace("a", "crashes-too", "Error", &[ready(200, "PodError", "ImagePullBackOff")]),
        workspace("a", "starts", "Pending", &[ready(1, "Pending", "0/3 nodes are available")]),
        workspace("a", "unsafe", "Running", &unsafe_route),
        parsed(deleting),
        parsed(unseen),
        parsed(lost),
        parsed(of_peer),
        Arc::new(serde_json::from_value(json!(testing::workspace("b", "new", "jupyter"))).unwrap()),
    ];
    let refused = LastRefusals::default();
    let faults = vec![(Rule::RequestHeader, "spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Bad]")];
    let review = RefusedReview {
        kind: ReviewedKind::WorkspaceKind,
        operation: "CREATE",
        namespace: "",
        name: "kind",
        code: 422,
        faults,
    };
    refused.remember(&review, ago(3));
    let review = RefusedReview {
        kind: ReviewedKind::Workspace,
        operation: "CREATE",
        namespace: "a",
        name: "lab",
        code: 503,
        faults: Vec::new(),
    };
    refused.remember(&review, ago(2));
    let mut facts = fine();
    facts.workspaces = workspaces;
    facts.kinds.push(kind("broken", &[condition("Accepted", "False", 45, "Refused", "spec.x: Invalid value")]));
    facts.refusals = refused.all();
    facts.leadership =
        Some(LeadershipFacts { lease: "kubeflow/lease".to_owned(), since: Some(ago(1)), ..LeadershipFacts::default() });
    facts.readiness[1].1 = Err("still listing".to_owned());
    facts.caches[0].failing = Some((ago(4), "connection refused".to_owned()));
    facts.certificate.as_mut().unwrap().served.as_mut().unwrap().not_after = ago(-60 * 24);
    facts.certificate.as_mut().unwrap().error = Some("no key".to_owned());
    facts.last_hour.errors[MINUTES - 1] = 2;
    facts.last_hour.errors[0] = 100;
    facts.last_hour.writes[30] = 7;
    facts
}

#[test]
fn of_a_process_without_faults_nothing_needs_attention() {
    let mut facts = fine();
    facts.workspaces =
        vec![running("a", "runs"), workspace("a", "rests", "Paused", &[condition("Ready", "True", 1, "Paused", "")])];
    let view = view(&facts, Filter::default());
    assert_eq!((view.problems.len(), view.workspaces.reasons.len()), (0, 0));
    let row = serde_json::to_value(&view.workspaces.rows[1]).unwrap();
    let expected = json!({
        "namespace": "a", "name": "runs", "state": "Running", "standing": "fine", "reason": "", "message": "",
        "restartPending": false, "kind": "jupyter", "imageConfig": "small", "podConfig": "tiny", "route": "in place",
        "ports": [{"text": "jupyterlab", "path": "/workspace/a/runs/jupyterlab/"}], "morePorts": 0,
    });
    assert_eq!(row, expected);
    let html = page(&view).unwrap();
    assert!(html.contains(r#"<p class="verdict good">Everything is as it should be.</p>"#), "{html}");
    assert!(html.contains("Leader election is off: this process works alone."));
    assert!(html.contains("expires in 60 d") && html.contains("started 2 h 5 min ago"), "{html}");
    assert!(html.contains("<li><bdi>jupyterlab</bdi> <code>/workspace/a/runs/jupyterlab/</code></li>"));
}

#[test]
fn what_is_wrong_comes_first_with_its_reason_since_when_and_what_to_do() {
    let view = view(&troubled(), Filter::default());
    let problems: Vec<String> = view
        .problems
        .iter()
        .map(|problem| {
            format!(
                "{} {}: {} ({})",
                problem.severity,
                problem.subject,
                problem.text,
                problem.since.as_deref().unwrap_or("-")
            )
        })
        .collect();
    let expected = [
        "error readiness: caches: still listing (-)",
        "error leader: nobody holds the Lease kubeflow/lease: nothing is reconciled (2026-05-04T03:01:01Z)",
        "warning certificate: the new certificate cannot be served, the one before stays: no key (-)",
        "warning certificate: it expires in 1 d and has not been renewed (-)",
        "warning cache: workspaces: connection refused (2026-05-04T02:58:01Z)",
        "warning kinds: not as they should be: gone, broken (2026-05-04T02:17:01Z)",
        "warning Workspaces: 4 of 10 need somebody to do something (2026-05-03T23:42:01Z)",
        "warning reconciles: 2 failed in the last 10 minutes (-)",
        "warning admission: a review of a Workspace got no verdict (code 503) (2026-05-04T03:00:01Z)",
    ];
    assert_eq!(problems, expected);
    assert!(view.problems.iter().all(|problem| problem.advice.ends_with('.')));
    let rows: Vec<String> = view
        .workspaces
        .rows
        .iter()
        .map(|row| {
            format!("{}/{} {} {} {}: {}", row.namespace, row.name, row.state, row.standing, row.reason, row.message)
        })
        .collect();
    let expected = [
        "a/crashes-too Error stuck PodError: ImagePullBackOff",
        "b/lost Error stuck WorkspaceKindNotFound: Workspace references unknown WorkspaceKind: gone",
        "a/unsafe Running stuck UnsafeHeader: spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X]: no",
        "a/crashes Error stuck PodError: CrashLoopBackOff: exit code 137",
        "a/starts Pending inProgress Pending: 0/3 nodes are available",
        "b/deleting Unknown inProgress Deleting: it is being deleted: a finalizer holds it where that takes long",
        "b/new Unknown inProgress NotObserved: no controller has reported on it yet",
        "b/of-peer Pending inProgress Pending: as the Go controller says it",
        "b/unseen Running inProgress NotObserved: the status is that of generation 1",
        "a/runs Running fine : ",
    ];
    assert_eq!(rows, expected);
    let reasons: Vec<String> = view
        .workspaces
        .reasons
        .iter()
        .map(|row| format!("{} {} {}: {}", row.count, row.reason, row.standing, row.example))
        .collect();
    let expected = [
        "2 PodError stuck: a/crashes: CrashLoopBackOff: exit code 137",
        "1 UnsafeHeader stuck: a/unsafe: spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X]: no",
        "1 WorkspaceKindNotFound stuck: b/lost: Workspace references unknown WorkspaceKind: gone",
        "2 NotObserved inProgress: b/new: no controller has reported on it yet",
        "2 Pending inProgress: a/starts: 0/3 nodes are available",
        "1 Deleting inProgress: b/deleting: it is being deleted: a finalizer holds it where that takes long",
    ];
    assert_eq!(reasons, expected);
    let kinds: Vec<(String, usize, bool, usize)> =
        view.kinds.rows.iter().map(|row| (row.name.clone(), row.workspaces, row.exists, row.faults.len())).collect();
    let expected =
        [("gone".to_owned(), 1, false, 0), ("broken".to_owned(), 0, true, 1), ("jupyter".to_owned(), 9, true, 0)];
    assert_eq!(kinds, expected);
    let refusals = serde_json::to_value(&view.refusals).unwrap();
    let field = "spec.podTemplate.ports[0].httpProxy.requestHeaders.set[X-Bad]";
    let expected = json!([
        {
            "rule": "503", "title": "a fact could not be looked up in time", "count": 1, "at": "2026-05-04T03:00:01Z",
            "kind": "Workspace", "namespace": "a", "name": "lab", "operation": "CREATE", "fields": [], "moreFields": 0,
        },
        {
            "rule": "WSK003", "title": "request-header", "count": 1, "at": "2026-05-04T02:59:01Z", "kind": "WorkspaceKind",
            "name": "kind", "operation": "CREATE", "fields": [field], "moreFields": 0,
        },
    ]);
    assert_eq!(refusals, expected);
    let html = page(&view).unwrap();
    assert!(html.contains(r#"<p class="verdict bad">9 things need attention.</p>"#), "{html}");
    assert!(
        html.contains("Nobody leads")
            && html.contains("for 3 h 20 min")
            && html.contains("Create the WorkspaceKind again")
    );
    assert_eq!(html.matches("<svg").count(), 3);
    if let Ok(dir) = std::env::var("STATUS_PAGE_DIR") {
        std::fs::write(format!("{dir}/troubled.html"), &html).unwrap();
    }
}

/// What may be absent, and what is missed all the same: VirtualServices without Istio's CRDs.
#[test]
fn an_absence_needs_attention_if_something_misses_it() {
    let problems = |progress: &'static str, is_missed: bool| {
        let mut facts = fine();
        let failing = Some((ago(4), "404 page not found".to_owned()));
        let cache = facts.caches.remove(0);
        facts.caches.push(CacheFacts { resource: "virtualservices", progress, failing, is_missed, ..cache });
        let problems = view(&facts, Filter::default()).problems;
        problems.into_iter().map(|problem| format!("{} {}", problem.text, problem.advice)).collect::<Vec<_>>()
    };
    assert_eq!((problems("not installed", false).len(), problems("not allowed", false).len()), (0, 0));
    let missed = "the API server does not serve virtualservices Workspaces have no routes. Install Istio with its CRDs: routes follow without a \
                  restart. Or, to do without: --use-istio=false (settings.useIstio).";
    assert_eq!(problems("not installed", true), [missed]);
    let forbidden =
        "404 page not found The log names the rule to add to the ClusterRole; `helm upgrade` puts the chart's back.";
    assert_eq!(problems("not allowed", true), [forbidden]);
}

/// The rule to add stands at its end.
#[test]
fn a_reason_of_readiness_is_not_cut() {
    let mut facts = fine();
    let reason = format!("{}add to the rules of the ClusterRole: {{verbs: [\"patch\"]}}", "is forbidden: ".repeat(40));
    facts.readiness[0].1 = Err(reason.clone());
    let view = view(&facts, Filter::default());
    assert_eq!((&view.problems[0].text, &view.readiness[0].reason), (&reason, &reason));
    assert!(view.problems[0].advice.contains("cert-manager"), "{}", view.problems[0].advice);
}

#[test]
fn it_is_said_who_leads() {
    let said = |leadership: Option<LeadershipFacts>, reconciles: bool| {
        let mut facts = fine();
        (facts.leadership, facts.process.reconciles) = (leadership, reconciles);
        let view = view(&facts, Filter::default());
        let html = page(&view).unwrap();
        let from = html.split("<dt>Leader</dt><dd>").nth(1).unwrap();
        (view.leadership.role, from.split("</dd>").next().unwrap().to_owned(), view.problems.len())
    };
    let leadership = |holder: &str, is_leader, since: Option<Timestamp>| {
        let (lease, holder) = ("kubeflow/lease".to_owned(), holder.to_owned());
        Some(LeadershipFacts { lease, holder, is_leader, since, ..LeadershipFacts::default() })
    };
    let troubled = |leadership: Option<LeadershipFacts>| {
        let trouble = Some("the Lease cannot be acquired: leases is forbidden".to_owned());
        leadership.map(|leadership| LeadershipFacts { trouble, ..leadership })
    };
    let written_by_manager = |leadership: Option<LeadershipFacts>| {
        let program = Some("manager".to_owned());
        leadership.map(|leadership| LeadershipFacts { program, ..leadership })
    };
    let lease = " <span class=\"soft\"><br>Lease <code>kubeflow/lease</code></span>";
    let cases = [
        (None, true, "off", "Leader election is off: this process works alone.".to_owned(), 0),
        (None, false, "off", "This process does not reconcile, so it needs no leader.".to_owned(), 0),
        (
            leadership("pod-a_1", true, Some(ago(90))),
            true,
            "leader",
            format!("<span class=\"good\">This replica leads</span>, for 1 h 30 min{lease}"),
            0,
        ),
        (
            leadership("pod-b_2", false, Some(ago(2))),
            true,
            "standby",
            format!("This replica stands by; <bdi>pod-b_2</bdi> leads, for 2 min{lease}"),
            0,
        ),
        (
            leadership("", false, Some(ago(0))),
            true,
            "none",
            format!("<span class=\"bad\">Nobody leads</span>{lease}"),
            1,
        ),
        (
            written_by_manager(leadership("go-1_2", false, Some(ago(2)))),
            true,
            "standby",
            format!("This replica stands by; <bdi>go-1_2</bdi> leads, for 2 min{lease}"),
            1,
        ),
        // Somebody else changed the Lease of this leader.
        (
            written_by_manager(leadership("pod-a_1", true, Some(ago(90)))),
            true,
            "leader",
            format!("<span class=\"good\">This replica leads</span>, for 1 h 30 min{lease}"),
            0,
        ),
        (leadership("", false, None), true, "unknown", format!("Not known yet{lease}"), 0),
        (
            troubled(leadership("", false, Some(ago(0)))),
            true,
            "none",
            format!("<span class=\"bad\">Nobody leads</span>{lease}"),
            2,
        ),
    ];
    for (leadership, reconciles, role, text, problems) in cases {
        assert_eq!(said(leadership, reconciles), (role, text, problems));
    }
}

#[test]
fn a_filter_selects_by_all_that_it_names() {
    let facts = troubled();
    let found = |query: &str| {
        let view = view(&facts, Filter::of_query(query));
        let names: Vec<String> = view.workspaces.rows.iter().map(|row| row.name.clone()).collect();
        assert_eq!((view.workspaces.matching, view.workspaces.total), (names.len(), 10), "{query}");
        names.join(" ")
    };
    assert_eq!(found("namespace=a&state=notFine"), "crashes-too unsafe crashes starts");
    assert_eq!(found("state=Pending"), "starts of-peer");
    assert_eq!(found("kind=gone"), "lost");
    assert_eq!(found("reason=PodError&namespace=a"), "crashes-too crashes");
    assert_eq!(found("namespace=nowhere"), "");
    assert_eq!(found("state=Nonsense"), "");
    let html = page(&view(&facts, Filter::of_query("namespace=%22%3E%3Cb%3E&reason=PodError&state=Pending"))).unwrap();
    assert!(html.contains(r#"<input name="namespace" value="&quot;&gt;&lt;b&gt;""#), "{html}");
    assert!(html.contains("<option selected>Pending</option>") && html.contains(r#"name="reason" value="PodError""#));
}

#[test]
fn hostile_texts_stay_texts() {
    let hostile = "</td><script>alert(1)</script>\u{202e}<img src=x onerror='y'>\"";
    let long = format!("{hostile}{}", "z\u{301}".repeat(10_000));
    let mut facts = fine();
    let mut odd = serde_json::to_value(testing::workspace("a", "lab", hostile)).unwrap();
    odd["spec"]["podTemplate"]["options"]["imageConfig"] = json!(hostile);
    let mut conditions = vec![condition("Ready", "False", 1, hostile, &long)];
    conditions[0]["lastTransitionTime"] = json!(hostile);
    odd["status"] = json!({"observedGeneration": 1, "state": "Error", "stateMessage": long, "conditions": conditions});
    facts.workspaces = vec![Arc::new(serde_json::from_value(odd).unwrap())];
    facts.kinds = vec![kind(hostile, &[condition("Accepted", "False", 1, hostile, &long)])];
    facts.caches[0].failing = Some((ago(1), long.clone()));
    facts.readiness[0].1 = Err(long.clone());
    facts.leadership =
        Some(LeadershipFacts { lease: hostile.to_owned(), holder: long.clone(), ..LeadershipFacts::default() });
    facts.process.selector = Some(hostile.to_owned());
    let refused = LastRefusals::default();
    let faults = vec![(Rule::RequestHeader, &*long)];
    let kind = ReviewedKind::Workspace;
    refused.remember(
        &RefusedReview { kind, operation: hostile, namespace: hostile, name: &long, code: 422, faults },
        ago(1),
    );
    facts.refusals = refused.all();
    let view = view(&facts, Filter::of_query(&format!("namespace={}", "%3Cscript%3E")));
    let html = page(&view).unwrap();
    let tags = |name: &str| html.to_lowercase().matches(&format!("<{name}")).count();
    assert_eq!((tags("script"), tags("img"), tags("iframe")), (0, 0, 0));
    assert!(
        html.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}&lt;img src=x onerror=&#39;y&#39;&gt;&quot;"),
        "{html}"
    );
    assert!(!html.contains('\u{202e}'));
    assert!(html.len() < 40_000, "{} bytes", html.len());
    let json = serde_json::to_string(&view).unwrap();
    assert!(!json.contains('\u{202e}') && json.len() < 20_000, "{} bytes", json.len());
    if let Ok(dir) = std::env::var("STATUS_PAGE_DIR") {
        std::fs::write(format!("{dir}/hostile.html"), &html).unwrap();
    }
}

/// 5,000 Workspaces of 60 namespaces, each tenth not fine.
fn five_thousand() -> StatusFacts {
    let mut facts = fine();
    facts.workspaces = (0..5_000)
        .map(|number| {
            let (namespace, name) = (format!("team-{}", number % 60), format!("lab-{number}"));
            let message =
                "Workspace Pod is unschedulable: 0/12 nodes are available: 12 Insufficient nvidia.com/gpu. ".repeat(4);
            match number % 50 {
                0 => {
                    workspace(&namespace, &name, "Error", &[condition("Ready", "False", number, "PodError", &message)])
                }
                n if n % 10 == 0 => {
                    workspace(&namespace, &name, "Pending", &[condition("Ready", "False", 3, "Pending", &message)])
                }
                _ => running(&namespace, &name),
            }
        })
        .collect();
    facts.kinds = (0..300).map(|number| kind(&format!("kind-{number}"), &[])).collect();
    facts
}

/// What the page takes of the thread that reconciles.
#[test]
fn the_facts_about_five_thousand_workspaces_are_taken_without_a_copy() {
    let collection = Collection::<StoredWorkspace>::default();
    for workspace in five_thousand().workspaces {
        drop(collection.put(Arc::unwrap_or_clone(workspace)));
    }
    let began = Instant::now();
    let all = collection.all();
    println!("status page: 5000 Workspaces taken from their store in {:.2} ms", began.elapsed().as_secs_f64() * 1e3);
    assert_eq!((all.len(), collection.count()), (5_000, 5_000));
    let (namespace, name) = all[0].identity.key.parts();
    let held = collection.get(&Key::new(namespace, name)).unwrap();
    assert!(Arc::ptr_eq(&held, &all[0]));
}

#[test]
fn the_page_of_five_thousand_workspaces_is_short_and_begins_with_those_that_are_not_fine() {
    let facts = five_thousand();
    let began = Instant::now();
    let all = view(&facts, Filter::default());
    let judged = began.elapsed();
    let began = Instant::now();
    let html = page(&all).unwrap();
    let json = serde_json::to_string(&all).unwrap();
    let written = began.elapsed();
    let size = html.len().max(json.len()) >> 10;
    let verdict = if size < 400 { "pass" } else { "fail" };
    println!(
        "status-page {verdict} {size} KiB, limit 400 KiB: the page of 5,000 Workspaces, judged in {:.0} ms, written in {:.0} ms",
        judged.as_secs_f64() * 1e3,
        written.as_secs_f64() * 1e3
    );
    assert!(size < 400, "{size} KiB");
    assert_eq!((all.workspaces.total, all.workspaces.stuck, all.workspaces.in_progress), (5_000, 100, 400));
    assert_eq!((all.workspaces.rows.len(), all.workspaces.more), (200, 4_800));
    assert!(all.workspaces.rows.iter().take(100).all(|row| row.standing == "stuck"));
    assert!(all.workspaces.rows.iter().skip(100).all(|row| row.standing == "inProgress"));
    assert_eq!(all.workspaces.rows[0].name, "lab-4950", "the oldest first");
    assert!(html.contains("… and 4800 more. Choose a namespace, a kind, a state or a reason to see them."));
    assert_eq!((all.kinds.rows.len(), all.kinds.more, all.kinds.total), (200, 101, 300));
    let one_team = view(&facts, Filter::of_query("namespace=team-7"));
    assert_eq!((one_team.workspaces.matching, one_team.workspaces.more), (84, 0));
    if let Ok(dir) = std::env::var("STATUS_PAGE_DIR") {
        std::fs::write(format!("{dir}/many.html"), &html).unwrap();
    }
}
