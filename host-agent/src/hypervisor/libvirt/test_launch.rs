//! Test launches on a real host. The guest is transient: libvirt forgets it when it ends, also with its host.

use drover_agent_api::TestLaunch;
use drover_policies::attempt::FailureClass;
use drover_policies::ids::{ReplicaId, ServerId};
use drover_policies::replica::{Point, TestNetwork, test_name};
use roxmltree::Document;

use super::super::replication::{Launched, TestOf};
use super::super::{Answer, Domains, Refusal, RefusalKind};
use super::daemon::{ACT, Daemon, KEPT, LOOK};
use super::replication::Replicating;
use crate::domain_edit::{TestGuest, test_guest};

fn refused(text: String) -> Refusal {
    Refusal::new(RefusalKind::Failed(FailureClass::RefusedByDestination), text)
}

impl Replicating {
    pub(super) fn freeze_for(&self, order: &TestLaunch) -> Answer<Point> {
        Ok(self.held.freeze(order.replica, order.guest)?)
    }

    pub(super) fn launch_test(&self, order: &TestLaunch) -> Answer<Launched> {
        if let Some(here) = self.daemon.find(order.guest)? {
            return self.launched(order.guest, here.name);
        }
        let files = self.held.test_files(order.replica, order.guest)?;
        let source = Daemon::new(order.source.libvirt_uri.clone());
        let definition = source.on(order.server, LOOK, |domain| Ok((domain.name()?, domain.xml_desc(KEPT)?)));
        let (server, definition) = definition.map_err(|refusal| {
            let text = format!("the definition can't be read at {}: {}", order.source.host, refusal.text);
            Refusal { text, ..refusal }
        })?;
        if let TestNetwork::Isolated { name } = &order.network {
            self.leads_nowhere(name)?;
        }
        let name = test_name(&server);
        let test = TestGuest {
            guest: order.guest,
            name: &name,
            disks: &files.disks,
            nvram: &files.vars,
            network: &order.network,
            blueprint: &order.blueprint,
        };
        let xml = test_guest(&definition, &test).map_err(|error| refused(error.to_string()))?;
        self.daemon.call(ACT, move |connect| connect.create_domain_xml(&xml, 0).map(drop))?;
        self.launched(order.guest, name)
    }

    /// A test guest that reached the server's own network would answer in its stead.
    fn leads_nowhere(&self, network: &str) -> Answer<()> {
        let name = network.to_owned();
        let xml = self.daemon.call(LOOK, move |connect| connect.lookup_network_by_name(&name)?.xml_desc(0));
        let xml = xml.map_err(|refusal| {
            refused(format!(
                "the network {network:?} for tests can't be used (test.network): {}",
                refusal.text
            ))
        })?;
        let document = Document::parse(&xml).map_err(|error| refused(error.to_string()))?;
        let forward = document.root_element().children().find(|node| node.has_tag_name("forward"));
        match forward {
            None => Ok(()),
            Some(forward) => Err(refused(format!(
                "the network {network:?} for tests forwards (mode {}): a test guest must not be reached as its server is; name one \
                 without <forward>, or none (test.network)",
                forward.attribute("mode").unwrap_or("nat")
            ))),
        }
    }

    fn launched(&self, guest: ServerId, name: String) -> Answer<Launched> {
        let xml = self.daemon.on(guest, LOOK, |domain| domain.xml_desc(0))?;
        Ok(Launched { console: console(&xml, &name), name })
    }

    pub(super) fn end_test_of(&self, replica: ReplicaId, of: TestOf) -> Answer<()> {
        match self.held.tested_by(replica)? {
            Some(guest) if of.is(guest) => self.daemon.destroy(guest)?,
            Some(_) => return Ok(()),
            None => {}
        }
        Ok(self.held.thaw(replica)?)
    }
}

/// A screen is nearer to a person than a line.
fn console(xml: &str, name: &str) -> Option<String> {
    let document = Document::parse(xml).ok()?;
    let named = |tag: &'static str| document.descendants().filter(move |node| node.has_tag_name(tag));
    let screen = named("graphics").find_map(|screen| {
        let port: u16 = screen.attribute("port")?.parse().ok()?;
        let address = screen.attribute("listen").unwrap_or("127.0.0.1");
        Some(format!("{}://{address}:{port}", screen.attribute("type")?))
    });
    screen.or_else(|| {
        let line = named("console").chain(named("serial")).next();
        line.map(|_| format!("virsh console {name}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_told_before_a_line_and_nothing_where_there_is_neither() {
        let with =
            |inside: &str| console(&format!("<domain><devices>{inside}</devices></domain>"), "web-test");
        assert_eq!(
            with("<serial type='pty'/><graphics type='vnc' port='5901' listen='127.0.0.1'/>").as_deref(),
            Some("vnc://127.0.0.1:5901")
        );
        assert_eq!(
            with("<serial type='pty'/><graphics type='vnc' port='-1'/>").as_deref(),
            Some("virsh console web-test")
        );
        assert_eq!(with(""), None);
    }
}
