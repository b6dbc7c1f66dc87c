#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::rbac::AccessRule;
use crate::stores::captured_log::CapturedLog;
use crate::stores::child::{Child, ChildType};
use crate::stores::slim::Key;
use crate::stores::workspace::StoredWorkspace;

const RULE: AccessRule = AccessRule { group: "kubeflow.org", resource: "workspaces", verbs: &["get", "list", "watch"] };

type AnswerBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// An answer of the API server.
#[derive(Clone)]
enum Answer {
    /// A list of these objects, at this version.
    List(u64, Vec<Value>),
    /// A `Status`.
    Failure(u16, &'static str),
    /// These events, each so many seconds after the one before, and the end.
    Watch(Vec<(u64, String)>, End),
}

#[derive(Clone, Copy)]
enum End {
    /// Nothing more comes.
    Silence,
    /// The watch ends, so many seconds later.
    Ends(u64),
    /// The connection breaks, so many seconds later.
    Breaks(u64),
}

/// What a watch asked and logged.
struct Seen {
    /// Each request and after how many seconds it came.
    requests: Vec<(String, f64)>,
    /// What it reported: whether as part of a list, and the versions before and after.
    events: Vec<(bool, Option<String>, Option<String>)>,
    log: Vec<String>,
    held: bool,
    progress: Progress,
    /// How long ago the API server sent something, and since when it fails and why, as the status page shows it.
    heard: Option<u64>,
    failing: Option<(u64, String)>,
}

/// Runs a watch of Workspaces against an API server that gives these answers, one a request, and then none. It refuses
/// streamed lists beforehand, which is neither seen as a request nor in the log.
async fn run(necessity: Necessity, seconds: u64, answers: impl IntoIterator<Item = Answer>) -> Seen {
    let mut seen = run_on(StreamedLists::Refused, necessity, seconds, answers).await;
    let is_refusal = |line: &String| *line == unstreamed(REFUSAL);
    seen.log.retain(|line| !is_refusal(line));
    seen
}

/// What an API server does when it is asked for a streamed list.
#[derive(Clone, Copy, PartialEq)]
enum StreamedLists {
    Refused,
    /// It gives the next answer.
    Answered,
}

/// As kube-apiserver v1.34.4 says it with `--feature-gates=WatchList=false`.
const REFUSAL: &str = "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for \
    watch unless the WatchList feature gate is enabled";

fn unstreamed(reason: &str) -> String {
    format!("DEBUG no streamed list; listing in pages resource=\"workspaces\" reason={reason:?}")
}

async fn run_on(
    streamed: StreamedLists,
    necessity: Necessity,
    seconds: u64,
    answers: impl IntoIterator<Item = Answer>,
) -> Seen {
    run_with(options(necessity, None), streamed, seconds, answers).await
}

fn options(necessity: Necessity, expires: Option<&'static str>) -> WatchOptions {
    WatchOptions { name: "workspaces", necessity, rule: RULE, label: None, field: None, page: 500, expires }
}

async fn run_with(
    options: WatchOptions,
    streamed: StreamedLists,
    seconds: u64,
    answers: impl IntoIterator<Item = Answer>,
) -> Seen {
    let began = Instant::now();
    let answers = Mutex::new(answers.into_iter().collect::<VecDeque<_>>());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let service = tower::service_fn({
        let requests = requests.clone();
        move |request: Request<Body>| {
            let described = described(&request);
            let answer = if described == STREAMED && streamed == StreamedLists::Refused {
                Some(Answer::Failure(422, REFUSAL))
            } else {
                requests.lock().unwrap().push((described, began.elapsed().as_secs_f64()));
                answers.lock().unwrap().pop_front()
            };
            async move {
                match answer {
                    Some(answer) => Ok::<_, std::io::Error>(response(answer)),
                    None => std::future::pending().await,
                }
            }
        }
    });
    let log = CapturedLog::start();
    let collection = Collection::<StoredWorkspace>::default();
    let events = Mutex::new(Vec::new());
    let on_event = |event: StoreEvent<'_, StoredWorkspace>| {
        let is_listed = matches!(event, StoreEvent::Listed(_));
        let version =
            |object: &Option<Arc<StoredWorkspace>>| object.as_ref().map(|object| object.identity.version.to_string());
        if let Some((change, _)) = event.change(Urgency::Now) {
            events.lock().unwrap().push((is_listed, version(&change.before), version(&change.after)));
        }
    };
    let apis = vec![Api::all(Client::new(service, "default"))];
    let watching = watch(options, apis, &collection, on_event);
    drop(timeout(Duration::from_secs(seconds), watching).await);
    let requests = std::mem::take(&mut *requests.lock().unwrap());
    let log = log.lines();
    let held = collection.get(&Key::new("ns", "lab")).is_some();
    let freshness = collection.freshness();
    let heard = freshness.heard.map(|heard| heard.elapsed().as_secs());
    let failing = freshness.failing.map(|(since, error)| (since.elapsed().as_secs(), error.into()));
    let (events, progress) = (events.into_inner().unwrap(), collection.progress());
    Seen { requests, events, log, held, progress, heard, failing }
}

const STREAMED: &str = "streamed list";

fn described(request: &Request<Body>) -> String {
    let query = request.uri().query().unwrap_or_default();
    if !query.contains("watch=true") {
        return "list".to_owned();
    }
    assert!(query.contains("allowWatchBookmarks=true"), "{query}");
    if query.contains("sendInitialEvents=true") {
        assert!(query.contains("resourceVersionMatch=NotOlderThan"), "{query}");
        assert!(query.split('&').any(|part| part == "resourceVersion="), "{query}");
        return STREAMED.to_owned();
    }
    let version = query.split('&').find_map(|part| part.strip_prefix("resourceVersion=")).unwrap();
    format!("watch from {version}")
}

fn response(answer: Answer) -> Response<AnswerBody> {
    let whole = |value: Value| {
        let frame = Ok(Frame::data(Bytes::from(value.to_string())));
        BodyExt::boxed_unsync(StreamBody::new(stream::iter([frame])))
    };
    match answer {
        Answer::List(version, items) => {
            Response::new(whole(json!({"metadata": {"resourceVersion": version.to_string()}, "items": items})))
        }
        Answer::Failure(code, message) => {
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message});
            Response::builder().status(code).body(whole(status)).unwrap()
        }
        Answer::Watch(events, end) => {
            let events = stream::iter(events).then(|(seconds, event)| async move {
                sleep(Duration::from_secs(seconds)).await;
                Ok(Frame::data(Bytes::from(format!("{event}\n"))))
            });
            let end = stream::once(async move {
                match end {
                    End::Silence => std::future::pending().await,
                    End::Ends(seconds) => {
                        sleep(Duration::from_secs(seconds)).await;
                        None
                    }
                    End::Breaks(seconds) => {
                        sleep(Duration::from_secs(seconds)).await;
                        Some(Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)))
                    }
                }
            });
            Response::new(BodyExt::boxed_unsync(StreamBody::new(events.chain(end.filter_map(std::future::ready)))))
        }
    }
}

fn workspace(version: u64, kind: &Value) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": "lab", "uid": "u", "resourceVersion": version.to_string()},
        "spec": {"kind": kind, "podTemplate": {"volumes": {}, "options": {"imageConfig": "i", "podConfig": "p"}}},
    })
}

/// The type comes first, as API servers write it.
fn event(type_: &str, object: &Value) -> String {
    format!(r#"{{"type": "{type_}", "object": {object}}}"#)
}

fn bookmark(version: u64) -> String {
    let metadata = json!({"resourceVersion": version.to_string()});
    event("BOOKMARK", &json!({"apiVersion": "v1", "kind": "Workspace", "metadata": metadata}))
}

/// The bookmark at the end of a streamed list.
fn list_ends(version: u64) -> String {
    let metadata =
        json!({"resourceVersion": version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}});
    event("BOOKMARK", &json!({"apiVersion": "v1", "kind": "Workspace", "metadata": metadata}))
}

fn quiet() -> Answer {
    Answer::Watch(Vec::new(), End::Silence)
}

fn at(requests: &[(&str, f64)]) -> Vec<(String, f64)> {
    requests.iter().map(|(request, seconds)| ((*request).to_owned(), *seconds)).collect()
}

/// The requests and their times in milliseconds: timers have that precision.
fn rounded(requests: &[(String, f64)]) -> Vec<(String, f64)> {
    requests.iter().map(|(request, seconds)| (request.clone(), (seconds * 10.0).round() / 10.0)).collect()
}

const SILENT: &str = r#"DEBUG resuming the watch resource="workspaces" reason="neither event nor bookmark for 75 s""#;

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_is_resumed_without_a_warning() {
    let seen = run(Necessity::Required, 200, [Answer::List(7, Vec::new()), quiet(), quiet(), quiet()]).await;
    let requests = [("list", 0.0), ("watch from 7", 0.0), ("watch from 7", 78.0), ("watch from 7", 156.0)];
    assert_eq!(rounded(&seen.requests), at(&requests));
    assert_eq!(seen.log, [SILENT, SILENT]);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_keep_a_watch_alive_and_say_where_it_is_resumed() {
    let bookmarks = [8, 9, 10, 11].map(|version| (60, bookmark(version))).to_vec();
    let answers = [Answer::List(7, Vec::new()), Answer::Watch(bookmarks, End::Ends(50)), quiet()];
    let seen = run(Necessity::Required, 300, answers).await;
    assert_eq!(rounded(&seen.requests), at(&[("list", 0.0), ("watch from 7", 0.0), ("watch from 11", 290.0)]));
    assert_eq!(seen.log, [r#"DEBUG resuming the watch resource="workspaces" reason="the API server ended it""#]);
}

#[tokio::test(start_paused = true)]
async fn only_a_restart_that_fails_is_reported_and_its_recovery_is_too() {
    let answers = [
        Answer::List(7, Vec::new()),
        Answer::Watch(vec![(10, bookmark(8))], End::Breaks(10)),
        Answer::Failure(503, "down"),
        Answer::Failure(503, "still down"),
        quiet(),
    ];
    let seen = run(Necessity::Required, 30, answers).await;
    let again = "watch from 8";
    let requests = [("list", 0.0), ("watch from 7", 0.0), (again, 20.0), (again, 20.1), (again, 20.3)];
    assert_eq!(rounded(&seen.requests), at(&requests));
    let expected = [
        r#"DEBUG resuming the watch resource="workspaces" reason="Error reading events stream: ServiceError: connection reset""#,
        r#"WARN the watch failed; will retry resource="workspaces" error="down""#,
        r#"DEBUG the watch still fails resource="workspaces" error="still down""#,
        r#"INFO the watch works again resource="workspaces""#,
    ];
    assert_eq!(seen.log, expected);
}

#[tokio::test(start_paused = true)]
async fn how_current_a_cache_is_follows_from_what_the_api_server_sent() {
    let listed = || [Answer::List(7, Vec::new()), Answer::Watch(vec![(10, bookmark(8))], End::Breaks(10))];
    let seen = run(Necessity::Required, 15, listed()).await;
    assert_eq!((seen.heard, seen.failing), (Some(5), None), "a bookmark is something");
    let down = [Answer::Failure(503, "down"), Answer::Failure(503, "still down")];
    let seen = run(Necessity::Required, 25, listed().into_iter().chain(down.clone())).await;
    assert_eq!((seen.heard, seen.failing), (Some(15), Some((5, "still down".to_owned()))));
    let seen = run(Necessity::Required, 25, listed().into_iter().chain(down).chain([quiet()])).await;
    assert_eq!((seen.heard, seen.failing), (Some(1), None), "a watch that lasts has started");
    let seen = run(Necessity::Required, 1, [Answer::Failure(403, "no")]).await;
    assert_eq!((seen.heard, seen.failing), (None, Some((1, "no".to_owned()))));
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_shows_at_once_that_it_works_again() {
    let answers = [
        Answer::List(7, Vec::new()),
        Answer::Failure(500, "overloaded"),
        Answer::Watch(vec![(1, bookmark(9))], End::Silence),
    ];
    let seen = run(Necessity::Required, 2, answers).await;
    let expected = [
        r#"WARN the watch failed; will retry resource="workspaces" error="overloaded""#,
        r#"INFO the watch works again resource="workspaces""#,
    ];
    assert_eq!(seen.log, expected);
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_that_it_works_again() {
    let seen = run(Necessity::Required, 1, [Answer::Failure(500, "overloaded"), Answer::List(7, Vec::new())]).await;
    let expected = [
        r#"WARN the watch failed; will retry resource="workspaces" error="overloaded""#,
        r#"INFO the watch works again resource="workspaces""#,
    ];
    assert_eq!(seen.log, expected);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_as_soon_as_it_starts_has_failed() {
    let short = || Answer::Watch(Vec::new(), End::Ends(0));
    let seen = run(Necessity::Required, 60, [Answer::List(7, Vec::new()), short(), short(), short(), quiet()]).await;
    let again = "watch from 7";
    assert_eq!(rounded(&seen.requests), at(&[("list", 0.0), (again, 0.0), (again, 0.1), (again, 0.3), (again, 0.7)]));
    let still = r#"DEBUG the watch still fails resource="workspaces" error="the API server ended it""#;
    let expected = [
        r#"WARN the watch failed; will retry resource="workspaces" error="the API server ended it""#,
        still,
        still,
        r#"INFO the watch works again resource="workspaces""#,
    ];
    assert_eq!(seen.log, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_known_is_listed_again_and_what_is_gone_is_forgotten() {
    let expired = json!({"kind": "Status", "code": 410, "message": "too old resource version"});
    let lab = || vec![workspace(3, &json!("k"))];
    let answers = [
        Answer::List(7, lab()),
        Answer::Watch(vec![(10, event("ERROR", &expired))], End::Silence),
        Answer::List(90, lab()),
        Answer::Failure(410, "too old resource version"),
        Answer::List(95, Vec::new()),
        quiet(),
    ];
    let seen = run(Necessity::Required, 20, answers).await;
    let requests = [
        ("list", 0.0),
        ("watch from 7", 0.0),
        ("list", 10.1),
        ("watch from 90", 10.1),
        ("list", 10.2),
        ("watch from 95", 10.2),
    ];
    assert_eq!(rounded(&seen.requests), at(&requests));
    assert!(!seen.held);
    let line = r#"DEBUG listing again resource="workspaces" reason="too old resource version""#;
    assert_eq!(seen.log, [line, line]);
}

/// What it answers where the right to watch was taken away after the list, for so many seconds and a little.
fn forbidden_after_a_list(seconds: u64) -> Vec<Answer> {
    // After pauses of 0.1, 0.2, 0.4, 0.8 and 1.6 s one comes every 3 s, from 3.1 s on.
    let failures = 6 + (seconds - 3) / 3;
    let list = Answer::List(7, vec![workspace(3, &json!("k"))]);
    std::iter::once(list).chain((0..failures).map(|_| Answer::Failure(403, "forbidden"))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_is_believed_for_a_minute_where_it_is_not_believed_for_ever() {
    let run = async |expires, seconds, more: &[Answer]| {
        let answers = forbidden_after_a_list(60).into_iter().chain(more.iter().cloned());
        let mut seen = run_with(options(Necessity::Required, expires), StreamedLists::Refused, seconds, answers).await;
        seen.log.retain(|line| !line.starts_with("DEBUG"));
        seen
    };
    let follows = Some("nothing is done");
    let failed = r#"WARN the watch failed; will retry resource="workspaces" error="forbidden""#;
    let forgotten =
        r#"WARN neither listed nor watched for 60 s: nothing is done until they can be resource="workspaces""#;
    let kept = run(None, 62, &[]).await;
    assert_eq!((kept.held, kept.log), (true, vec![failed.to_owned()]));
    let before = run(follows, 60, &[]).await;
    assert_eq!((before.held, before.log), (true, vec![failed.to_owned()]));
    let still = [Answer::Failure(403, "forbidden"), Answer::Failure(403, "forbidden")];
    let after = run(follows, 90, &still).await;
    assert_eq!((after.held, after.log), (false, vec![failed.to_owned(), forgotten.to_owned()]));
    // As new.
    let list = Answer::List(8, vec![workspace(3, &json!("k"))]);
    let back = run(follows, 90, &[still[0].clone(), list, quiet()]).await;
    let again = r#"INFO the watch works again resource="workspaces""#;
    assert_eq!((back.held, back.log), (true, [failed, forgotten, again].map(str::to_owned).to_vec()));
    assert_eq!(back.events, [(true, None, Some("3".to_owned())), (true, None, Some("3".to_owned()))]);
    let requests: Vec<&str> = back.requests.iter().rev().take(4).map(|(request, _)| request.as_str()).collect();
    assert_eq!(requests, ["watch from 8", "list", "list", "watch from 7"]);
}

#[tokio::test(start_paused = true)]
async fn lists_that_are_outdated_at_once_are_reported_and_come_ever_later() {
    let list = || Answer::List(7, Vec::new());
    let gone = || Answer::Failure(410, "too old resource version");
    // What a proxy may answer instead of events.
    let page = || Answer::Watch(vec![(0, "<html>".to_owned())], End::Ends(0));
    let answers = [list(), gone(), list(), page(), list(), gone(), list(), gone(), list(), quiet()];
    let seen = run(Necessity::Required, 20, answers).await;
    let lists: Vec<_> = seen.requests.iter().filter(|(request, _)| request == "list").cloned().collect();
    let expected = [("list", 0.0), ("list", 0.1), ("list", 0.2), ("list", 0.4), ("list", 0.8)];
    assert_eq!(rounded(&lists), at(&expected));
    let expected = [
        r#"DEBUG listing again resource="workspaces" reason="too old resource version""#,
        r#"WARN the watch failed; will retry resource="workspaces" error="the list was outdated at once: Error deserializing response: expected value at line 1 column 1""#,
        r#"DEBUG the watch still fails resource="workspaces" error="the list was outdated at once: too old resource version""#,
        r#"DEBUG the watch still fails resource="workspaces" error="the list was outdated at once: too old resource version""#,
        r#"INFO the watch works again resource="workspaces""#,
    ];
    assert_eq!(seen.log, expected);

    let forever = std::iter::repeat_with(|| [list(), gone()]).take(1000).flatten();
    let seen = run(Necessity::Required, 600, forever).await;
    let late = seen.requests.iter().filter(|(request, seconds)| request == "list" && *seconds > 300.0);
    assert_eq!(late.count(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_little_depends_on_is_missed_once_and_asked_for_again() {
    let optional = Necessity::Optional("nobody minds");
    let forbidden = Answer::Failure(403, "workspaces is forbidden");
    let seen = run(optional, 600, std::iter::repeat_n(forbidden.clone(), 100)).await;
    let missing = "WARN a right is missing: nobody minds; to change that, add to the rules of the ClusterRole: \
        {apiGroups: [\"kubeflow.org\"], resources: [\"workspaces\"], verbs: [\"get\", \"list\", \"watch\"]}";
    assert_eq!(seen.log[0], missing);
    assert!(seen.log[1..].iter().all(|line| line.starts_with("DEBUG the watch still fails ")), "{:?}", seen.log);
    assert_eq!((seen.requests.len(), seen.progress), (28, Progress::Forbidden));

    // Also where the right is taken away later.
    let answers = [Answer::List(7, Vec::new()), forbidden.clone(), forbidden, quiet()];
    let seen = run(optional, 20, answers).await;
    let works = r#"INFO the watch works again resource="workspaces""#;
    let still = r#"DEBUG the watch still fails resource="workspaces" error="workspaces is forbidden""#;
    assert_eq!(seen.log, [missing, still, works]);
    assert_eq!(seen.progress, Progress::Synced);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_any_longer_is_forgotten_and_so_is_its_end() {
    let (good, bad) = (json!("k"), json!(7));
    let mut events = vec![(1, event("ADDED", &workspace(11, &good)))];
    let held = async |events: &[(u64, String)]| {
        let answers = [Answer::List(7, Vec::new()), Answer::Watch(events.to_vec(), End::Silence)];
        run(Necessity::Required, 10, answers).await.held
    };
    assert!(held(&events).await);
    events.push((1, event("MODIFIED", &workspace(12, &bad))));
    assert!(!held(&events).await);
    events.push((1, event("MODIFIED", &workspace(13, &good))));
    assert!(held(&events).await);
    events.push((1, event("DELETED", &workspace(14, &bad))));
    assert!(!held(&events).await);
}

/// Lists of a resource that the API server does not serve, in the ten minutes after the first ten.
async fn lists_while_absent(necessity: Necessity) -> usize {
    let seen = run(necessity, 1200, std::iter::repeat_n(Answer::Failure(404, "not found"), 1000)).await;
    seen.requests.iter().filter(|(_, seconds)| *seconds > 600.0).count()
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_need_not_be_served_is_listed_twice_a_minute() {
    assert_eq!(lists_while_absent(Necessity::Optional("")).await, 20);
    assert_eq!(lists_while_absent(Necessity::Recommended).await, 24);
    assert_eq!(lists_while_absent(Necessity::Required).await, 200);
}

#[tokio::test(start_paused = true)]
async fn children_without_a_spec_are_listed_as_metadata_only() {
    let accepts = Arc::new(Mutex::new(Vec::new()));
    let service = tower::service_fn({
        let accepts = accepts.clone();
        move |request: Request<Body>| {
            let accept = request.headers()[http::header::ACCEPT].to_str().unwrap().to_owned();
            accepts.lock().unwrap().push(accept);
            std::future::ready(Ok::<_, std::io::Error>(response(Answer::Failure(422, REFUSAL))))
        }
    });
    let collection = Collection::<Child>::default();
    let api: Api<Incoming<Child>> =
        Api::all_with(Client::new(service, "default"), &crate::render::ChildKind::ServiceAccount.into());
    let options = WatchOptions {
        name: "serviceaccounts",
        necessity: Necessity::Required,
        rule: RULE,
        label: None,
        field: None,
        page: 500,
        expires: None,
    };
    let watching = watch(options, vec![api], &collection, |_| {});
    drop(timeout(Duration::from_secs(1), watching).await);
    let accepts = accepts.lock().unwrap();
    assert!(accepts[0].contains("as=PartialObjectMetadata;"), "{accepts:?}");
    assert!(accepts[1].contains("as=PartialObjectMetadataList;"), "{accepts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_is_followed_by_the_watch_that_brought_it() {
    let (good, other) = (json!("k"), json!("other"));
    let events = vec![
        (1, event("ADDED", &workspace(3, &good))),
        (9, list_ends(7)),
        (60, bookmark(8)),
        (60, event("MODIFIED", &workspace(9, &other))),
    ];
    let answers = [Answer::Watch(events, End::Ends(20)), quiet()];
    let seen = run_on(StreamedLists::Answered, Necessity::Required, 160, answers).await;
    assert_eq!(rounded(&seen.requests), at(&[(STREAMED, 0.0), ("watch from 9", 150.0)]));
    let version = |version: &str| Some(version.to_owned());
    assert_eq!(seen.events, [(true, None, version("3")), (false, version("3"), version("9"))]);
    assert_eq!((seen.held, seen.progress), (true, Progress::Synced));
    assert_eq!(seen.log, [r#"DEBUG resuming the watch resource="workspaces" reason="the API server ended it""#]);
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_is_complete_with_its_bookmark_only() {
    let progress = async |events: Vec<(u64, String)>| {
        let answers = [Answer::Watch(events, End::Silence)];
        run_on(StreamedLists::Answered, Necessity::Required, 5, answers).await.progress
    };
    let added = || (1, event("ADDED", &workspace(3, &json!("k"))));
    assert_eq!(progress(vec![added()]).await, Progress::Listing);
    assert_eq!(progress(vec![added(), (1, list_ends(7))]).await, Progress::Synced);
    assert_eq!(progress(vec![(1, list_ends(7))]).await, Progress::Synced);
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_a_list_is_streamed_is_part_of_it() {
    let good = json!("k");
    let events = vec![
        (0, event("ADDED", &workspace(3, &good))),
        (0, event("MODIFIED", &workspace(5, &json!("other")))),
        (0, event("DELETED", &workspace(6, &good))),
        (0, list_ends(7)),
    ];
    let seen = run_on(StreamedLists::Answered, Necessity::Required, 5, [Answer::Watch(events, End::Silence)]).await;
    let version = |version: &str| Some(version.to_owned());
    let expected = [(true, None, version("3")), (true, version("3"), version("5")), (true, version("5"), None)];
    assert_eq!((seen.events.as_slice(), seen.held), (&expected[..], false));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_streamed_comes_in_pages_at_once() {
    let added = || event("ADDED", &workspace(3, &json!("k")));
    let error = |code: u16, message: &str| event("ERROR", &json!({"kind": "Status", "code": code, "message": message}));
    let streamed = |events: &[String], end| Answer::Watch(events.iter().map(|event| (0, event.clone())).collect(), end);
    let cases = [
        (0.0, Answer::Failure(422, REFUSAL), REFUSAL),
        (0.0, Answer::Failure(400, "unknown parameter"), "unknown parameter"),
        (0.0, Answer::Failure(410, "too old resource version"), "too old resource version"),
        (0.0, streamed(&[added()], End::Ends(0)), "it ended before it was complete"),
        (0.0, streamed(&[added()], End::Breaks(0)), "Error reading events stream: ServiceError: connection reset"),
        (10.0, streamed(&[added()], End::Silence), "nothing came for 10 s"),
        (0.0, streamed(&[added(), bookmark(4)], End::Silence), "a bookmark came before the list was complete"),
        (0.0, streamed(&[added(), error(410, "too old")], End::Silence), "too old"),
        (0.0, streamed(&[added(), error(500, "etcd is gone")], End::Silence), "etcd is gone"),
        (
            0.0,
            streamed(&["<html>".to_owned()], End::Silence),
            "Error deserializing response: expected value at line 1 column 1",
        ),
    ];
    for (seconds, first, reason) in cases {
        let answers = [first, Answer::List(7, vec![workspace(3, &json!("k"))]), quiet()];
        let seen = run_on(StreamedLists::Answered, Necessity::Required, 20, answers).await;
        let requests = [(STREAMED, 0.0), ("list", seconds), ("watch from 7", seconds)];
        assert_eq!(rounded(&seen.requests), at(&requests), "{reason}");
        assert_eq!(seen.log, [unstreamed(reason)]);
        assert_eq!((seen.events.len(), seen.held, seen.progress), (1, true, Progress::Synced), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_fails_for_reasons_that_pages_share() {
    for code in [401, 403, 404, 429, 500, 503] {
        let list = Answer::Watch(vec![(0, list_ends(7))], End::Silence);
        let answers = [Answer::Failure(code, "not now"), list];
        let seen = run_on(StreamedLists::Answered, Necessity::Required, 5, answers).await;
        assert_eq!(rounded(&seen.requests), at(&[(STREAMED, 0.0), (STREAMED, 0.1)]), "{code}");
        let absent =
            "WARN the API server does not serve this resource: install its CRD; will retry resource=\"workspaces\"";
        let failed = r#"WARN the watch failed; will retry resource="workspaces" error="not now""#;
        let expected = if code == 404 { absent } else { failed };
        assert_eq!(seen.log, [expected, r#"INFO the watch works again resource="workspaces""#], "{code}");
        assert_eq!(seen.progress, Progress::Synced);
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_complete_list_shows_what_is_gone() {
    let lab = || (0, event("ADDED", &workspace(3, &json!("k"))));
    let outdated = || (1, event("ERROR", &json!({"kind": "Status", "code": 410, "message": "too old"})));
    let first = || Answer::Watch(vec![lab(), (0, list_ends(7)), outdated()], End::Silence);
    let held = async |answers: Vec<Answer>| {
        let seen = run_on(StreamedLists::Answered, Necessity::Required, 5, answers).await;
        assert_eq!(rounded(&seen.requests)[..2], at(&[(STREAMED, 0.0), (STREAMED, 1.1)]));
        seen.held
    };
    assert!(held(vec![first(), Answer::Watch(Vec::new(), End::Silence)]).await);
    assert!(held(vec![first(), Answer::Watch(Vec::new(), End::Ends(0)), Answer::Failure(503, "down")]).await);
    assert!(!held(vec![first(), Answer::Watch(vec![(0, list_ends(9))], End::Silence)]).await);
    // What was restored from a backup has an older version.
    let restored = vec![(0, event("ADDED", &workspace(2, &json!("k")))), (0, list_ends(4))];
    assert!(held(vec![first(), Answer::Watch(restored, End::Silence)]).await);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_always_fails_when_streamed_comes_in_pages_and_the_next_is_tried_anew() {
    let down = || Answer::Failure(503, "no streams today");
    let outdated = event("ERROR", &json!({"kind": "Status", "code": 410, "message": "too old"}));
    let answers = [
        down(),
        down(),
        down(),
        Answer::List(7, Vec::new()),
        Answer::Watch(vec![(10, outdated)], End::Silence),
        down(),
        Answer::Watch(vec![(0, list_ends(9))], End::Silence),
    ];
    let seen = run_on(StreamedLists::Answered, Necessity::Required, 15, answers).await;
    let requests = [
        (STREAMED, 0.0),
        (STREAMED, 0.1),
        (STREAMED, 0.3),
        ("list", 0.3),
        ("watch from 7", 0.3),
        (STREAMED, 10.4),
        (STREAMED, 10.5),
    ];
    assert_eq!(rounded(&seen.requests), at(&requests));
    let failed = r#"WARN the watch failed; will retry resource="workspaces" error="no streams today""#;
    let works = r#"INFO the watch works again resource="workspaces""#;
    let expected = [
        failed.to_owned(),
        r#"DEBUG the watch still fails resource="workspaces" error="no streams today""#.to_owned(),
        unstreamed("no streams today"),
        works.to_owned(),
        r#"DEBUG listing again resource="workspaces" reason="too old""#.to_owned(),
        failed.to_owned(),
        works.to_owned(),
    ];
    assert_eq!(seen.log, expected);
}

/// What a watch of VirtualServices asked, with the API versions, and what came of it.
struct SeenVersions {
    requests: Vec<String>,
    /// How often it was reported that they can be created now, or no longer, or elsewhere.
    installed: usize,
    log: Vec<String>,
    progress: Progress,
    version: usize,
}

/// Runs a watch of VirtualServices against an API server that gives these answers, one a request, and then none.
async fn run_versions(answers: impl IntoIterator<Item = Answer>) -> SeenVersions {
    let answers = Mutex::new(answers.into_iter().collect::<VecDeque<_>>());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let service = tower::service_fn({
        let requests = requests.clone();
        move |request: Request<Body>| {
            let version = request.uri().path().split('/').nth(3).unwrap().to_owned();
            requests.lock().unwrap().push(format!("{version}: {}", described(&request)));
            let answer = answers.lock().unwrap().pop_front();
            async move {
                match answer {
                    Some(answer) => Ok::<_, std::io::Error>(response(answer)),
                    None => std::future::pending().await,
                }
            }
        }
    });
    let log = CapturedLog::start();
    let (collection, client) = (Collection::<Child>::default(), Client::new(service, "default"));
    let types = ChildType::all(crate::render::ChildKind::VirtualService);
    let apis = types.map(|of| Api::<Incoming<Child>>::all_with(client.clone(), &of)).collect();
    let options = WatchOptions {
        name: "virtualservices",
        necessity: Necessity::Recommended,
        rule: RULE,
        label: None,
        field: None,
        page: 500,
        expires: None,
    };
    let installed = Mutex::new(0);
    let on_event = |event: StoreEvent<'_, Child>| {
        if matches!(event, StoreEvent::Installed) {
            *installed.lock().unwrap() += 1;
        }
    };
    drop(timeout(Duration::from_secs(20), watch(options, apis, &collection, on_event)).await);
    let requests = std::mem::take(&mut *requests.lock().unwrap());
    SeenVersions {
        requests,
        installed: installed.into_inner().unwrap(),
        log: log.lines(),
        progress: collection.progress(),
        version: collection.version(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_listed_in_the_preferred_one_of_the_versions_that_are_served() {
    let absent = || Answer::Failure(404, "404 page not found");
    let list = |end| Answer::Watch(vec![(0, list_ends(7))], end);
    let ends = || list(End::Ends(4));
    let other = |version: &str| {
        let path = format!("/apis/networking.istio.io/{version}/virtualservices");
        format!(r#"INFO the API server serves another version resource="virtualservices" path="{path}""#)
    };
    let resumed =
        || r#"DEBUG resuming the watch resource="virtualservices" reason="the API server ended it""#.to_owned();
    let again = || r#"DEBUG listing again resource="virtualservices" reason="404 page not found""#.to_owned();
    // Only the older one; then both, then only the newer one, then only the older one again.
    let older = [absent(), ends()];
    let both = [Answer::Watch(Vec::new(), End::Ends(4))];
    let newer = [absent(), ends()];
    let back = [absent(), absent(), list(End::Silence)];
    let seen = run_versions(older.into_iter().chain(both).chain(newer).chain(back)).await;
    let expected = [
        "v1: streamed list",
        "v1beta1: streamed list",
        "v1beta1: watch from 7",
        "v1beta1: watch from 7",
        "v1: streamed list",
        "v1: watch from 7",
        "v1: streamed list",
        "v1beta1: streamed list",
    ];
    assert_eq!(seen.requests, expected);
    assert_eq!((seen.installed, seen.progress, seen.version), (3, Progress::Synced, 1));
    let expected = [other("v1beta1"), resumed(), resumed(), again(), other("v1"), resumed(), again(), other("v1beta1")];
    assert_eq!(seen.log, expected);
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_missing_where_none_of_its_versions_is_served() {
    let seen = run_versions(std::iter::repeat_n(Answer::Failure(404, "404 page not found"), 2)).await;
    assert_eq!(seen.requests, ["v1: streamed list", "v1beta1: streamed list", "v1: streamed list"]);
    assert_eq!((seen.installed, seen.progress, seen.version), (1, Progress::NotInstalled, 0));
    let absent =
        "WARN the API server does not serve this resource: install its CRD; will retry resource=\"virtualservices\"";
    assert_eq!(seen.log, [absent]);
}
