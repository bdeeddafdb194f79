//! Blueprints: what servers shall look like at their next launch.

use super::args::{BlueprintSet, Blueprints, BootWhen, DiskWish};
use super::client::Answer;
use super::exit::Failed;
use super::screen::Screen;
use super::{Context, part};
use crate::http::views::{BlueprintView, BootView};

pub(super) async fn blueprints(context: &Context, command: Blueprints) -> Result<(), Failed> {
    match command {
        Blueprints::Show { server } => {
            let answer: Answer<BlueprintView> = context.client.get(&path(&server), &[]).await?;
            context.show(&answer, show);
        }
        Blueprints::Set(set) => {
            let known: Answer<BlueprintView> = context.client.get(&path(&set.server), &[]).await?;
            let path = path(&set.server);
            let mut body = known.value.blueprint;
            let BlueprintSet { server: _, memory, vcpus, network, disk, boot } = set;
            body.memory_bytes = memory.or(body.memory_bytes);
            body.vcpus = vcpus.or(body.vcpus);
            body.networks.extend(network);
            for (disk, wish) in disk {
                let shape = body.disks.entry(disk).or_default();
                match wish {
                    DiskWish::Directory(directory) => shape.directory = Some(directory),
                    DiskWish::Format(format) => shape.format = Some(format),
                }
            }
            body.boot = boot.map_or(body.boot, |boot| match boot {
                BootWhen::Now => BootView::Now,
                BootWhen::Later => BootView::Later,
            });
            let answer: Answer<BlueprintView> = context.client.put(&path, &body).await?;
            context.show(&answer, show);
        }
        Blueprints::Clear { server } => {
            context.client.delete(&path(&server)).await?;
            if !context.screen.json {
                context.screen.line(format!("Cleared: {server} stays as it is."));
            }
        }
    }
    Ok(())
}

fn path(server: &str) -> String {
    format!("/v1/servers/{}/blueprint", part(server))
}

fn show(screen: &Screen, view: &BlueprintView) {
    let (Some(by), Some(at)) = (&view.set_by, view.set_at) else {
        screen.line(format!(
            "{0} has no blueprint: it stays as it is. Set one with: drover blueprint set {0} --memory 4GiB",
            view.server_name
        ));
        return;
    };
    screen.line(format!("At its next launch by a reboot {} is changed: {}", view.server_name, view.changes));
    screen.line(format!("Set by {by}, {}", screen.times().at(at)));
}
