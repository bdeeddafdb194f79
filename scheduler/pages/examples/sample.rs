//! Writes every page, filled with made-up figures, into a directory, so that it can be looked at in a browser:
//! `cargo run -p drover-pages --example sample DIR`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use drover_pages::assets::{CSS, ICON, JS};
use drover_pages::samples;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("say where: cargo run -p drover-pages --example sample DIR");
        return ExitCode::FAILURE;
    };
    match write(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("can't write into {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &std::path::Path) -> std::io::Result<()> {
    fs::create_dir_all(directory.join("assets"))?;
    for asset in [&*CSS, &*JS, &*ICON] {
        fs::write(directory.join(&asset.path[1..]), asset.text)?;
    }
    for sample in samples::all("") {
        // Opened as files, pages find their style sheet beside them.
        let html = sample.page.render(&sample.frame).replace("\"/assets/", "\"assets/");
        println!("{:7} bytes  {}.html", html.len(), sample.name);
        fs::write(directory.join(format!("{}.html", sample.name)), html)?;
    }
    Ok(())
}
