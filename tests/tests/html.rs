//! Every page, filled with made-up figures and with what somebody might call his server, is HTML by the standard's own word.

use anyhow::{Result, ensure};
use drover_pages::samples;
use drover_tests::browser::Validator;
use drover_tests::picture;

#[test]
fn every_page_is_valid() -> Result<()> {
    let Some(validator) = Validator::find() else { return Ok(()) };
    let pages: Vec<(String, String)> = ["x", "</title></script><script>alert(1)</script>\"'> & onload=\"x"]
        .into_iter()
        .enumerate()
        .flat_map(|(round, foreign)| {
            let named = move |(number, sample): (usize, samples::Sample)| {
                (format!("{}-{number}-{round}", sample.name), sample.page.render(&sample.frame))
            };
            samples::all(foreign).into_iter().enumerate().map(named)
        })
        .collect();
    let found = validator.judge(pages.iter().map(|(name, html)| (name.as_str(), html.as_str())))?;
    ensure!(found.is_empty(), "{} complaints:\n{}", found.len(), found.join("\n"));
    Ok(())
}

#[test]
fn the_picture_of_a_simulation_is_valid() -> Result<()> {
    let Some(validator) = Validator::find() else { return Ok(()) };
    let picture = picture::of_a_simulation("</title></script><script>alert(1)</script>\"'> & onload=\"x")?;
    let found = validator.judge([("picture", picture.as_str())].into_iter())?;
    ensure!(found.is_empty(), "{} complaints:\n{}", found.len(), found.join("\n"));
    Ok(())
}

#[test]
fn what_is_wrong_is_found() -> Result<()> {
    let Some(validator) = Validator::find() else { return Ok(()) };
    let wrong = "<!DOCTYPE html><html lang=en><title>t</title><p>a<ul><b><li>x</b></ul>";
    let found = validator.judge([("wrong", wrong)].into_iter())?;
    ensure!(found.iter().any(|told| told.starts_with("wrong.html:1: ")), "{found:#?}");
    Ok(())
}
