//! `httpPathPrefix` as in the recorded cases and on Go's side of the comparison.

use crds::template::Functions;

pub struct Paths;

impl Functions for Paths {
    fn http_path_prefix(&self, port_id: &str) -> Result<String, String> {
        Ok(format!("/workspace/connect/ns/ws/{port_id}/"))
    }

    fn http_path_prefix_of_bytes(&self, port_id: &[u8]) -> Result<Vec<u8>, String> {
        Ok([b"/workspace/connect/ns/ws/", port_id, b"/"].concat())
    }
}
