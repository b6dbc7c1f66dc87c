#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;

use super::*;
use crate::stores::workspace::StoredWorkspace;

fn workspace(name: &str, kind: &str, version: u64) -> StoredWorkspace {
    serde_json::from_value(json!({
        "metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}"), "resourceVersion": version.to_string()},
        "spec": {"kind": kind, "podTemplate": {"volumes": {}, "options": {"imageConfig": "i", "podConfig": "p"}}},
    }))
    .unwrap()
}

fn users(collection: &Collection<StoredWorkspace>, kind: &str) -> Vec<String> {
    collection.indexed(kind).iter().map(|workspace| workspace.identity.key.name().to_owned()).collect()
}

#[test]
fn the_index_follows_changes_and_removals() {
    let collection = Collection::default();
    for name in ["b", "a", "c"] {
        collection.put(workspace(name, "k1", 1)).unwrap();
    }
    assert_eq!(users(&collection, "k1"), ["a", "b", "c"]);
    collection.put(workspace("b", "k2", 2)).unwrap();
    assert_eq!(users(&collection, "k1"), ["a", "c"]);
    assert_eq!(users(&collection, "k2"), ["b"]);
    collection.remove(&workspace("b", "k2", 3).identity).unwrap();
    assert!(users(&collection, "k2").is_empty());
    assert!(!collection.read().by_index.contains_key("k2"), "no empty sets are kept");
}

#[test]
fn older_news_changes_nothing() {
    let collection = Collection::default();
    collection.put(workspace("a", "k1", 9)).unwrap();
    assert!(collection.put(workspace("a", "k2", 8)).is_none());
    assert_eq!(users(&collection, "k1"), ["a"]);
    assert!(collection.remove(&workspace("a", "k1", 8).identity).is_none(), "a late deletion of an older object");
    assert!(collection.remove(&workspace("a", "k1", 10).identity).is_some());
}

#[test]
fn the_answer_to_a_write_brings_nothing_back_that_is_gone() {
    let collection = Collection::default();
    let held = |name: &str| collection.get(&Key::new("ns", name)).is_some();
    collection.put_answer(workspace("a", "k", 5));
    assert!(held("a"), "the watch has not come that far");
    collection.put(workspace("a", "k", 5));
    collection.remove(&workspace("a", "k", 8).identity);
    collection.put_answer(workspace("a", "k", 7));
    assert!(!held("a"), "the watch has delivered its deletion");
    collection.put_answer(workspace("a", "k", 9));
    assert!(held("a"), "another one with its name");
    collection.begin_list();
    collection.put_listed(workspace("b", "k", 20));
    collection.end_list();
    collection.put_answer(workspace("a", "k", 15));
    assert!(!held("a"), "a list has shown its deletion");
}

#[test]
fn a_new_version_without_news_is_no_change_but_is_kept() {
    let collection = Collection::default();
    collection.put(workspace("a", "k1", 1)).unwrap();
    assert!(collection.put(workspace("a", "k1", 5)).is_none());
    assert_eq!(&*collection.get(&Key::new("ns", "a")).unwrap().identity.version, "5");
}

#[test]
fn a_list_removes_what_it_does_not_name_but_not_what_was_written_meanwhile() {
    let collection = Collection::default();
    collection.put(workspace("stays", "k", 1)).unwrap();
    collection.put(workspace("goes", "k", 1)).unwrap();
    collection.begin_list();
    assert_eq!(users(&collection, "k"), ["goes", "stays"], "a list that fails takes nothing away");
    collection.begin_list();
    collection.put(workspace("stays", "k", 1));
    collection.put(workspace("written", "k", 7)).unwrap();
    let gone = collection.end_list();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].before.as_ref().unwrap().identity.key.name(), "goes");
    assert_eq!(users(&collection, "k"), ["stays", "written"]);
}

#[test]
fn a_list_is_believed_after_the_store_was_restored_to_an_earlier_state() {
    let collection = Collection::default();
    collection.put(workspace("b", "k-older", 39)).unwrap();
    collection.put(workspace("a", "k9", 900)).unwrap();
    collection.begin_list();
    collection.put_answer(workspace("b", "k-new", 41));
    assert!(collection.put_listed(workspace("a", "k1", 30)).is_some());
    assert!(collection.put_listed(workspace("b", "k-old", 40)).is_none(), "the answer to a write during the list");
    assert!(collection.end_list().is_empty());
    assert_eq!((users(&collection, "k1").len(), users(&collection, "k-new").len()), (1, 1));
    assert!(collection.put(workspace("a", "k2", 42)).is_some());
}
