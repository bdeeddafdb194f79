//! The API over a real store: what it answers, what it refuses, and what it keeps from whom.

#[test]
fn openapi_json_is_what_the_code_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let generated = super::openapi_json() + "\n";
    let known = std::fs::read_to_string(file).expect("scheduler/openapi.json");
    assert!(
        known == generated,
        "openapi.json is not current; write it anew with `cargo run -p drover-scheduler --bin drover-scheduler -- openapi > scheduler/openapi.json`"
    );
}
