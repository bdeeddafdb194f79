//! Tells cargo that the schema is compiled in: a new file in `migrations/` changes no source file.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
