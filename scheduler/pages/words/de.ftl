# Wörter der Seiten. Das Format ist das von Fluent: https://projectfluent.org/fluent/guide

skip = Zum Inhalt
navigation = Hauptmenü
search-label = Nach Name oder Nummer suchen
search = Suchen
sign-out = Abmelden
reload = Neu laden
times-in = Zeiten in { $what }
as-of = Stand
connection-lost = Verbindung verloren, neuer Versuch läuft. Was Sie sehen, kann veraltet sein.
nav-fleet = Flotte
nav-maintenances = Wartungen
nav-migrations = Migrationen
nav-servers = Server
nav-hosts = Hosts
nav-windows = Zeitfenster
nav-tickets = Tickets
nav-policies = Regeln
nav-agents = Agenten
nav-audit = Protokoll
nav-my = Meine Server
nav-my-windows = Zeitfenster und Grenzen
nav-my-contacts = Kontakt
nav-my-tokens = Tokens

weekday = { $n ->
    [1] Mo
    [2] Di
    [3] Mi
    [4] Do
    [5] Fr
    [6] Sa
   *[7] So
}
month = { $n ->
    [1] Januar
    [2] Februar
    [3] März
    [4] April
    [5] Mai
    [6] Juni
    [7] Juli
    [8] August
    [9] September
    [10] Oktober
    [11] November
   *[12] Dezember
}
date = { $weekday } { $day }. { $month } { $year }
just-now = gerade eben
no-time = weniger als eine Sekunde
in-span = in { $what }
span-ago = vor { $what }
seconds = { $n ->
    [one] { $n } Sekunde
   *[other] { $n } Sekunden
}
minutes = { $n ->
    [one] { $n } Minute
   *[other] { $n } Minuten
}
hours = { $n ->
    [one] { $n } Stunde
   *[other] { $n } Stunden
}
days = { $n ->
    [one] { $n } Tag
   *[other] { $n } Tage
}

optional = (freiwillig)
back = Zurück
contains = Enthält
filter = Filtern
all = Alle
show-all = Alle zeigen
pages = Seiten
previous = Zurück
next = Weiter
rows-from = { $n }
rows-to = –{ $n }
rows-of = {" "}von { $n }
will-happen = Das wird geschehen
will-not-happen = Was bleibt, wie es ist
col-ticket = Ticket
col-server = Server
col-owner = Inhaber
col-state = Zustand
col-time = Zeit
col-taken-by = Kümmert sich
nobody-in-particular = niemand Bestimmtes
col-deadline = Frist

sign-in = Anmelden
sign-in-to = Bei Drover anmelden
session-expired = Ihre Sitzung ist abgelaufen. Melden Sie sich neu an, dann geht es dort weiter, wo Sie waren.
token = Token
token-hint = Der Token, den Sie bekommen haben; er beginnt mit drv_.
sign-in-hint = Kein Token zur Hand? Der Link in jeder unserer Mails öffnet das Ticket, um das es darin geht.

tickets = Tickets
no-tickets = Hier sind keine Tickets.
no-tickets-hint = Ein Ticket entsteht, wenn einer Ihrer Server nicht im laufenden Betrieb umziehen kann.

state-silent = stumm
state-heard = meldet sich
state-unanswered = wartet auf Antwort
state-open-ticket = offen
state-closed-ticket = geschlossen
state-pending = wartet
state-preflight = wird geprüft
state-transferring = zieht um
state-preparing = wird vorbereitet
state-ready = bereit
state-cutting-over = wird umgeschaltet
state-verifying = wird überprüft
state-succeeded = umgezogen
state-completed = umgezogen, zu bestätigen
state-reverting = geht zurück
state-discarding = alte Platten werden gelöscht
state-closed = erledigt
state-reverted = zurückgenommen
state-rehearsing = Übung läuft
state-rehearsed = Übung beendet
state-rolled-back = zurückgerollt
state-failed = gescheitert
state-cancelled = abgebrochen
state-avoided = nicht mehr nötig
state-draft = wird geplant
state-planned = wartet auf Freigabe
state-approved = freigegeben
state-running-maintenance = läuft
state-paused = angehalten
state-done = erledigt
state-turn-to-come = kommt noch an die Reihe
state-draining = wird geräumt
state-giving = gibt Server ab
state-confirming = wird gefragt, ob er leer ist
state-drained = leer
state-working = in Arbeit
state-skipped = ausgelassen
state-open-host = offen
state-cordoned = gesperrt
state-runs = läuft
state-held = steht
state-arriving = kommt an
state-off = aus
state-crashed = abgestürzt
state-unscheduled = noch keine Zeit
state-proposed = vorgeschlagen
state-accepted = angenommen
state-rescheduled = von Ihnen gewählt
state-start-now = beginnt jetzt
state-emergency = Notfall
state-begun = begonnen
date-short = { $weekday } { $day }. { $month }
about = etwa { $what }
none = –
yes = ja
no = nein
never = nie
not-known = nicht bekannt
and-more = { $n ->
    [one] und { $n } weitere
   *[other] und { $n } weitere
}
why = Warum
id = Kennung
seen = Zuletzt gesehen
labels = Merkmale
disks = Festplatten
facts = Angaben
opened = Eröffnet
progress = Fortschritt
test-launch = Probestart
running = läuft
ended = beendet
days-away = { $n ->
    [one] { $n } Tag
   *[other] { $n } Tagen
}
vcpus = { $n ->
    [one] { $n } vCPU
   *[other] { $n } vCPUs
}
out-of = von { $what }
allowed = ({ $what } erlaubt)

col-host = Host
col-size = Größe
col-live = Im laufenden Betrieb
col-migration = Umzug
col-wish = Wann
col-scope = Für
col-next = Als Nächstes
col-actions = Aktionen
col-token = Token
col-created = Ausgestellt
col-used = Zuletzt benutzt

downtime-label = Ausfallzeit
downtime = etwa { $about }, in neun von zehn Fällen höchstens { $most }
downtime-about = etwa { $about }
basis-memory = Nach seinem Arbeitsspeicher, dem, was er schreibt, und dem Netz.
basis-will-not-converge = Er schreibt schneller, als übertragen werden kann.
basis-history = { $n ->
    [one] Nach einem früheren Neustart dieses Servers.
   *[other] Nach { $n } früheren Neustarts dieses Servers.
}
basis-policy = Was solche Server gewöhnlich brauchen: von diesem ist noch nichts bekannt.

migration-of = Umzug von { $what }
why-to-me = Warum geschieht das?
waits-for = Es fehlt noch: { $what }
drill = Übung, nichts wird angefasst
place = Platz
place-held = Ein Platz ist für ihn reserviert.
place-not-held = Zurzeit ist kein Platz reserviert.
done-at = Erledigt
copy-of-disks = Kopie seiner Festplatten
first-copy = Erste Kopie
round = Runde
rounds = Runden
next-one = nächste
behind = Rückstand
late = verspätet
server-writes = Der Server schreibt
looked-at = Was nach dem Umzug geprüft wurde
what-happened = Was geschah
no-events = Noch nichts.
ticket-of-it = Ticket
thread = Nachrichten
remaining = Übrig
sent = Gesendet
written-anew = Neu geschrieben
pass = Durchgang
expected-downtime = Erwarteter Stillstand
read-at = Gelesen
curve-label = Übrige Bytes und Schreibrate im Lauf der Zeit
curve-left = übrig, bis zu { $what }
curve-dirty = neu geschrieben, bis zu { $what }
phase-past = erledigt
phase-now = jetzt
phase-ahead = kommt noch
phase-stuck = gescheitert
phase-given-up = aufgegeben
phase-not-needed = nicht mehr nötig
step-planned = Geplant
step-moved = Im laufenden Betrieb umgezogen
step-checked = Überprüft
step-prepared = Vorbereitet
step-time = Termin
step-restarted = Am neuen Platz gestartet
step-confirmed = Bestätigt
phase-fixes = Startfähig gemacht
phase-finalize = Definition beiseitegelegt
phase-back = Zurückgebracht
phase-in-doubt = Ausgang geklärt
phase-agreed = Termin
phase-prepare = Kopie der Festplatten
phase-check = Prüfung
phase-transfer = Übertragung
phase-delta = Letzte Änderungen
phase-off = Herunterfahren
phase-boot = Start am neuen Platz
phase-verify = Überprüfung
phase-confirm = Bestätigung
test-said-passed = es geht, sagt jemand
test-said-failed = es geht nicht, sagt jemand
test-soon = Am besten geschieht das eine Woche vorher; dieser Termin ist näher, wählen Sie also einen anderen, wenn Sie mehr Zeit wollen.
test-hint = Eine Kopie des Servers wird mit neuer Identität und ohne Netz nach außen gestartet. Der Server selbst wird nicht angefasst.
test-name = Name
test-from = Seine Festplatten vom
test-seen = Gesehen
after-its-start = { $what } nach dem Start
test-console = Konsole
test-until = Endet von selbst
voice-drover = Drover
voice-operator = Betrieb
voice-owner = Inhaber
confirm-or-revert-until = Bestätigen oder zurückgehen bis
revert-loses = Beim Zurückgehen ist verloren, was er seit dem Umzug auf seine lokalen Festplatten geschrieben hat, wenn es nicht vorher zurückkopiert wird.

pick-another-time = Andere Zeit wählen
accept-time = Zeit annehmen
decline-time = Zeit ablehnen
migrate-now = Jetzt umziehen
sync-now = Kopie auffrischen
pause-copy = Kopieren anhalten
resume-copy = Weiter kopieren
launch-test = Probestart
end-test = Probe beenden
test-passed = Es geht
test-failed = Es geht nicht
confirm-good = Alles in Ordnung
revert = Zurückgehen
cancel = Absagen
reply = Senden
save = Speichern
add = Hinzufügen
remove = Entfernen
revoke = Widerrufen
issue = Token ausstellen

f-text = Ihre Nachricht
f-cron = Öffnet (Cron-Ausdruck)
f-cron-hint = Minute, Stunde, Tag, Monat, Wochentag: 0 2 * * 0 ist jeden Sonntag um 02:00.
f-duration = Bleibt offen
f-duration-hint = Zum Beispiel 4h oder 90m.
f-timezone = Zeitzone
f-timezone-hint = Zum Beispiel Europe/Berlin.
f-scope = Für welche Server
f-scope-account = alle
f-scope-server = einen Server
f-scope-label = solche mit einem Merkmal
f-scope-what = Welche
f-scope-what-hint = Leer: alle. Ein Merkmal wie tier=db oder der Name eines Servers.
f-name = Name
f-from-day = Erster Tag
f-to-day = Letzter Tag
f-calendar-url = Adresse eines Kalenders
f-calendar-url-hint = Eine https-Adresse einer iCalendar-Datei; was darin steht, ist gesperrt. Anstelle von Tagen.
f-max = Höchstens so viele zugleich
f-mail = Mailadressen
f-mail-hint = Eine je Zeile.
f-language = Sprache der Mails
f-language-hint = Zum Beispiel en oder de.
f-reminders = Erinnerungen per Mail
f-salutation = Name für die Anrede
f-reason = Warum
f-accept-loss = Aufgeben, was seitdem geschrieben wurde; das geht schneller
f-subject = Für wen
f-when = Wann
f-when-hint = Leer: so bald wie möglich.
send = Senden

what-is-coming = Was ansteht
nothing-coming = Für Ihre Server ist nichts geplant.
nothing-coming-hint = Wenn etwas ansteht, steht es hier, und Sie bekommen eine Mail.
your-turn = wir warten auf Ihre Antwort
all-servers = Alle Server
no-servers = Hier sind keine Server.
no-servers-hint = Sie erscheinen, sobald ein Agent von ihnen berichtet.
live-allowed = erlaubt
live-forbidden = verboten
live-unsaid = nach unseren Regeln

times-of = Andere Zeit für { $what }
time-now = Zeit bisher
earliest = Frühestens
free-times = Freie Zeiten
free-times-hint = Zu diesen Zeiten ist Platz, und keine Ihrer Sperren gilt. Bis Sie wählen, ist nichts reserviert.
your-window = Ihr Zeitfenster:
usual-window = Übliches Zeitfenster:
frozen-by = gesperrt: { $what }
free-times-round = Es sind mehr als diese frei; jede andere können Sie unten eingeben.
nothing-free = nichts frei
no-free-times = Vor der Frist ist keine Zeit frei.
no-free-times-hint = Geben Sie unten eine Zeit ein, oder schreiben Sie uns im Ticket.
more-fields = Weitere Einstellungen
own-time-summary = Selbst eine Zeit eingeben
own-time = Beginn
own-time-hint = In Ihrer Zeitzone. Wenn sie nicht zu haben ist, sagen wir Ihnen, warum, und was möglich ist.
choose-this-time = Diese Zeit wählen

windows = Zeitfenster
windows-hint = Zeiten, zu denen ein Neustart willkommen ist. Passen mehrere auf einen Server, gilt das nächste: Server, Merkmal, Konto.
no-windows = Keine: es gelten die üblichen Zeiten.
new-windows = Zeitfenster hinzufügen
freezes = Sperren
freezes-hint = Tage, an denen mit Ihren Servern nichts geschieht.
no-freezes = Keine.
new-freezes = Sperre hinzufügen
limits = Grenzen
limits-hint = Wie viele Ihrer Server zugleich neu gestartet werden dürfen.
no-limits = Keine eigenen.
new-limits = Grenze hinzufügen
next-ten = Die nächsten Zeiten, zu denen ein Neustart möglich ist
next-ten-hint = Zeitfenster ohne Sperren, für einen Server, für den nichts Näheres gilt.
open-now = jetzt offen
no-next = Keine: Ihre Sperren lassen nichts offen.

contacts-hint = An diese Adressen schreiben wir, bevor mit Ihren Servern etwas geschieht. Ohne Adresse stehen Nachrichten nur im Ticket.
tokens-hint = Mit einem Token tut ein Programm in Ihrem Namen, was Sie hier tun können.
token-once = Das ist der Token. Er wird nur dieses eine Mal gezeigt: bewahren Sie ihn sicher auf.
no-tokens = Keine Tokens.
new-token = Ein neuer Token
valid = gültig
revoked = widerrufen
this-session = diese Sitzung

how-it-moves = Wie er umziehen kann
method-live = im laufenden Betrieb
method-reboot = mit einem Neustart
method-nothing = zurzeit nicht
windows-from = Zeitfenster
places = Wohin er könnte
col-suits = Passt
rules = Regeln, die für ihn gelten
col-setting = Einstellung
col-value = Wert
col-said-by = Gesagt von

ask-now = { $what } jetzt umziehen?
ask-now-lead = Der Server wird { $what } aus sein.
ask-now-live = Er zieht im laufenden Betrieb um.
cut-delta = Was er seit der letzten Kopie seiner Festplatten geschrieben hat, wird kopiert, während er noch läuft.
cut-off = Er wird heruntergefahren: zuerst wird sein System gebeten, nach einer Weile wird er ausgeschaltet. Was er zuletzt geschrieben hat, wird von seinen Festplatten kopiert.
cut-fence = Sein alter Platz wird für ihn geschlossen, damit er nie zweimal läuft. Die alten Festplatten bleiben dort erhalten.
cut-boot = Er wird am neuen Platz gestartet und überprüft. Startet er dort nicht, wird er am alten Platz wieder gestartet.
ask-revert = { $what } dorthin zurückbringen, wo er war?
revert-copied = Was er seitdem auf seine lokalen Festplatten geschrieben hat, wird vorher zurückkopiert.
revert-lost = Wenn Sie aufgeben, was seitdem geschrieben wurde, entfällt das, und was er seit { $what } auf seine lokalen Festplatten geschrieben hat, ist verloren.
revert-off = Er wird dort heruntergefahren, wo er jetzt ist.
revert-boot = Er wird am alten Platz von seinen alten Festplatten gestartet.
ask-confirm = Bestätigen, dass mit { $what } alles in Ordnung ist?
confirm-discard = Die alten Festplatten werden gelöscht. Danach kann er nicht mehr zurück.
ask-cancel = Umzug von { $what } absagen?
cancel-stays = Der Server bleibt, wo er ist, und sein reservierter Platz wird frei.
stays-running = Bis er heruntergefahren wird, läuft der Server weiter, wo er ist.
stays-address = Namen, Festplatten und Netzadressen ändern sich nicht.
stale = Seit Sie die Seite geöffnet haben, hat es sich geändert; geschehen ist also nichts. Sehen Sie es sich an, und entscheiden Sie neu.
stale-since = Seit Sie die Seite geöffnet haben, hat es sich geändert; geschehen ist also nichts. Seitdem: { $what }. Sehen Sie es sich an, und entscheiden Sie neu.

# Was der Scheduler auf Englisch sagt, nach seinen festen Wörtern.
why-owner-forbids = Sie haben festgelegt, dass dieser Server nicht im laufenden Betrieb umzieht.
why-policy-forbids = Server dieser Art ziehen nicht im laufenden Betrieb um.
why-owner-asked-for-reboot = Sie haben um einen Umzug mit Neustart gebeten.
why-block-job = Auf einer seiner Festplatten läuft eine Sicherung oder Kopie, und solange kann er nicht im laufenden Betrieb umziehen.
why-unsafe-cache = Eine seiner Festplatten hat einen Cache-Modus, bei dem im laufenden Betrieb Daten verloren gehen könnten.
why-local-disks = Seine Festplatten liegen auf der Hardware, auf der er läuft. Sie werden kopiert, während er läuft, und er wird von der Kopie gestartet.
why-not-running = Der Server ist ausgeschaltet; der Umzug unterbricht also nichts.
why-paused = Der Server ist angehalten, und nur ein laufender Server kann ohne Neustart umziehen.
why-live-failed = Der Umzug im laufenden Betrieb wurde versucht und ist nicht gelungen; der Server wurde dadurch nicht beeinträchtigt.
waits-turn = dass er an die Reihe kommt
waits-back-off = ein neuer Versuch, etwas später
waits-place = Platz auf anderer Hardware
waits-blocked = ein Mitarbeiter, der den Weg frei macht
waits-owner = die mit Ihnen vereinbarte Zeit
waits-slot = eine Zeit in Ihren Zeitfenstern vor der Frist; wählen Sie eine andere
waits-replica = die Kopie seiner Festplatten
waits-agent = seine Hardware, die zurzeit nicht erreichbar ist
waits-paused = die Wartung, die angehalten ist
outcome-not-seen-alive = umgezogen, aber noch nicht lebend gesehen; ein Mitarbeiter kümmert sich darum
outcome-aborted = Es ist nicht gelungen, und der Server blieb, wo er war; ein Mitarbeiter kümmert sich darum
outcome-attempts-used-up = Es ist nicht gelungen, und der Server blieb, wo er war; ein Mitarbeiter kümmert sich darum

# Warum etwas nicht geht: nach der Regel, sonst nach dem Feld, sonst nach der Art.
refused-already-begun = Der Umzug hat schon begonnen, seine Zeit lässt sich also nicht mehr ändern.
refused-nothing-proposed = Zurzeit ist keine Zeit vorgeschlagen. Wählen Sie eine, oder lassen Sie den Server jetzt umziehen.
refused-too-close = Er beginnt am { $start }, und so kurz vorher wird nichts mehr verschoben. Warten Sie sein Ende ab, oder lassen Sie den Server jetzt umziehen.
refused-too-soon = Diese Zeit ist zu früh. Wählen Sie { $earliest } oder später, oder lassen Sie den Server jetzt umziehen.
refused-after-deadline = Diese Zeit ist zu spät: am { $deadline } muss alles fertig sein. Wählen Sie { $latest } oder früher.
refused-excluded = Zu dieser Zeit ist alles gesperrt ({ $exclusion }). Frei sind: { $free }.
refused-limit = Höchstens { $max_simultaneous } Ihrer Server werden zugleich neu gestartet, und so viele sind es dann schon. Frei sind: { $free }.
refused-last-time = Mehr ist vor der Frist am { $deadline } nicht übrig, denn keine Zeit passt in Ihre Zeitfenster. Wählen Sie selbst eine andere. Frei sind: { $free }.
refused-taken = Diese Zeit ist vergeben. Frei sind: { $free }.
refused-switched-off = Umzüge, um die Sie selbst bitten, sind hier nicht eingeschaltet. Schreiben Sie uns im Ticket.
refused-too-many-of-server = Für diesen Server haben Sie schon oft genug um einen Umzug gebeten. Der nächste ist ab { $next } möglich.
refused-too-many-of-account = Sie haben schon oft genug um Umzüge gebeten. Der nächste ist ab { $next } möglich.
refused-not-seen = Der Server ist zurzeit auf keiner Hardware zu sehen. Versuchen Sie es später noch einmal.
refused-under-way = { $migration } zieht ihn schon um. Ändern Sie dort die Zeit, oder lassen Sie ihn dort jetzt umziehen.
refused-moved-since = Der Server ist seitdem noch einmal umgezogen, einen Rückweg gibt es also nicht mehr.
refused-no-place = Auf keiner anderen Hardware ist zurzeit Platz für ihn. Versuchen Sie es später noch einmal.
refused-not-there = Dort, wo er war, kann er zurzeit nicht laufen. Versuchen Sie es später noch einmal, oder bitten Sie um einen Umzug anderswohin.
refused-not-copied-back = Was er seit dem Umzug auf seine Festplatten geschrieben hat, lässt sich zurzeit nicht zurückkopieren. Versuchen Sie es später noch einmal, oder geben Sie es auf.
refused-nothing-to-lose = Es ginge nichts verloren. Lassen Sie „Aufgeben, was seitdem geschrieben wurde“ frei.
refused-too-old = Auf seine alten Festplatten, wie sie waren, kann er nicht zurück. Lassen Sie „Aufgeben, was seitdem geschrieben wurde“ frei.
refused-obstacles = Etwas steht dem Umzug dieses Servers im Weg, und ein Mitarbeiter muss es erst ausräumen.
refused-just-ended = Es ist in diesem Augenblick zu Ende gegangen. Sehen Sie noch einmal nach.
refused-no-appointment = Eine Zeit hat nur ein Umzug mit Neustart, der noch bevorsteht.
refused-needed = Eine Wartung braucht diesen Umzug, er lässt sich also nicht absagen. Wählen Sie eine andere Zeit.
refused-asked-by-others = Unsere Mitarbeiter haben um diesen Umzug gebeten, also können nur sie ihn absagen. Wählen Sie eine andere Zeit.
refused-not-cancelled = Was begonnen hat oder vorbei ist, lässt sich nicht mehr absagen.
refused-not-done = Bestätigen oder zurücknehmen lässt sich nur ein fertiger Umzug mit Neustart.
refused-being-reverted = Er wird schon zurückgebracht ({ $by }). Sagen Sie das zuerst ab, solange es nicht begonnen hat.
refused-was-reverted = Er wurde schon zurückgebracht ({ $by }).
refused-was-confirmed = Der Umzug wurde bestätigt und lässt sich nicht mehr zurücknehmen.
refused-is-closed = Der Umzug ist bestätigt, ausdrücklich oder weil die Zeit dafür um war, und lässt sich nicht mehr zurücknehmen.
refused-too-late = Zurücknehmen ließ er sich bis { $until }.
refused-is-revert = Das ist selbst eine Rücknahme, und die ist endgültig.
refused-no-replica = Von seinen Festplatten wird keine Kopie gehalten.
refused-not-kept = Die Kopie seiner Festplatten wird zurzeit nicht gehalten.
refused-round-runs = Die Kopie wird gerade aufgefrischt; { $percent } % sind da.
refused-cutting-over = Der Server zieht gerade um.
refused-paused = Die Kopie ist angehalten; ein Mitarbeiter hat das getan.
refused-not-for-owners = Das kann nur ein Mitarbeiter tun. Schreiben Sie uns im Ticket.
refused-nothing-landed = Es ist noch keine Kopie da, von der er gestartet werden könnte. Versuchen Sie es später noch einmal.
refused-test-under-way = Ein Test läuft schon.
refused-no-test = Es läuft kein Test.
refused-no-test-ran = Es lief noch kein Test, über den etwas zu sagen wäre.
refused-moment-missing = Wählen Sie einen Tag und eine Uhrzeit.
refused-no-moment = Das ist kein Tag mit Uhrzeit. Schreiben Sie ihn wie 2026-12-03T22:00.
refused-moment-twice = Diese Uhrzeit gibt es an dem Tag zweimal, weil die Uhren zurückgestellt werden. Schreiben Sie eine dieser beiden: { $either }.
refused-moment-never = Diese Uhrzeit gibt es an dem Tag nicht, weil die Uhren vorgestellt werden. Wählen Sie eine Stunde später.
refused-token-limit = Mehr als { $most } gültige Tokens kann ein Konto nicht haben. Widerrufen Sie zuerst einen.
field-opens-cron = Das ist keine Regel für Öffnungen. Schreiben Sie Minute, Stunde, Tag, Monat und Wochentag, zum Beispiel 0 2 * * 0.
field-opens-duration = Diese Dauer geht nicht. Schreiben Sie zum Beispiel 4h, und lang genug für einen Umzug.
field-opens-timezone = Das ist keine Zeitzone. Schreiben Sie zum Beispiel Europe/Berlin.
field-opens = So öffnet sich dieses Zeitfenster nie: Ihre Sperren lassen nichts davon übrig, oder es fehlt eine Angabe. Wählen Sie eine andere Zeit.
field-days-timezone = Das ist keine Zeitzone. Schreiben Sie zum Beispiel Europe/Berlin.
field-days-to = Der letzte Tag liegt vor dem ersten, oder ist vorbei. Schreiben Sie einen späteren.
field-from = Das ist kein Tag. Schreiben Sie ihn wie 2026-12-19.
field-to = Das ist kein Tag. Schreiben Sie ihn wie 2026-12-19.
field-name = Der Name fehlt oder ist zu lang. Schreiben Sie eine Zeile.
field-scope = So viel lässt sich nicht auf einmal festlegen. Schreiben Sie nichts für alle, ein Merkmal wie tier=db, oder den Namen eines Servers.
field-scope-server = Das ist keiner Ihrer Server. Schreiben Sie seinen Namen, wie er unter „Meine Server“ steht.
field-max-simultaneous = Das ist keine Anzahl von Servern. Schreiben Sie eine Zahl ab 1.
field-mail = Das ist keine Mailadresse, oder es sind zu viele. Schreiben Sie eine je Zeile, wie name@example.org.
field-timezone = Das ist keine Zeitzone. Schreiben Sie zum Beispiel Europe/Berlin.
field-language = Diese Sprache kennen wir nicht. Schreiben Sie zum Beispiel en oder de.
field-text = Der Text fehlt oder ist zu lang.
field-note = Wofür er ist, passt nicht in eine Zeile. Schreiben Sie höchstens 200 Zeichen.
problem-invalid-field = Eine Angabe ist nicht brauchbar ({ $said }).
problem-invalid-parameter = Eine Angabe in der Adresse ist nicht brauchbar ({ $said }).
problem-too-large = Das ist zu viel auf einmal. Schreiben Sie weniger.
problem-not-found = Das gibt es nicht, oder es gehört nicht Ihnen.
problem-no-such-route = Diese Seite gibt es nicht.
problem-method-not-allowed = So lässt sich diese Seite nicht aufrufen.
problem-unauthenticated = Dieser Token ist unbekannt oder wurde widerrufen.
problem-wrong-token = Dafür braucht es einen anderen Token.
problem-ambiguous-name = Mehrere heißen so. Nehmen Sie die Kennung.
problem-refused = Das geht zurzeit nicht ({ $said }).
problem-appointment = Die Zeit lässt sich so nicht ändern ({ $said }).
problem-too-often = Das kam zu oft. Warten Sie eine Weile.
problem-precondition-failed = Es hat sich inzwischen geändert. Sehen Sie es sich an, und entscheiden Sie neu.
problem-idempotency-key-reused = Diese Seite ist veraltet. Laden Sie sie neu, und tun Sie es noch einmal.
problem-conflict = Jemand anderes hat es im selben Augenblick geändert. Sehen Sie es sich an, und tun Sie es noch einmal.
problem-unavailable = Das geht gerade nicht. Versuchen Sie es gleich noch einmal.
problem-internal = Etwas Unerwartetes ist schiefgegangen; geändert wurde nichts. Versuchen Sie es später noch einmal.
problem-title-invalid-field = Eine Angabe ist nicht brauchbar
problem-title-not-found = Das gibt es nicht
problem-title-no-such-route = Diese Seite gibt es nicht
problem-title-unauthenticated = Bitte melden Sie sich an
problem-title-wrong-token = Dafür braucht es einen anderen Token
problem-title-refused = Das geht zurzeit nicht
problem-title-appointment = Die Zeit lässt sich so nicht ändern
problem-title-too-often = Das kam zu oft
problem-title-conflict = Jemand war schneller
problem-title-unavailable = Das geht gerade nicht
problem-title-internal = Etwas Unerwartetes ist schiefgegangen

said-initiating = das Kopieren beginnt
said-initial-sync = erste Kopie
said-rescan = wird neu verglichen
said-syncing = wird aufgefrischt
said-continuous = wird laufend aufgefrischt
said-backlog = im Rückstand
said-stalled = stockt
said-held = bereit, gefüllt zu werden
said-releasing = wird freigegeben
said-gone = nicht mehr da
said-refused = von einem Agenten abgelehnt
said-runs = läuft
said-is-off = aus
said-no-addresses = weder sein Gast noch sein Host nennt welche
said-test-asked = auf Wunsch beendet
said-test-expired = seine Zeit war um
said-test-went-off = der Testgast wurde ausgeschaltet
said-seen-alive = lebend gesehen
said-live-after-all = kann doch im laufenden Betrieb umziehen
said-to-be-live = soll umziehen, im laufenden Betrieb
said-to-be-rebooted = soll umziehen, mit einem Neustart
said-live-begins = der Umzug im laufenden Betrieb beginnt
said-reboot-begins = der Umzug mit Neustart beginnt
said-needs-operator = braucht einen Mitarbeiter, der sich darum kümmert
said-copy-begins = seine Festplatten werden nun kopiert
said-copy-ready = die Kopie seiner Festplatten ist bereit
said-copy-goes-on = die Kopie seiner Festplatten wird wieder aufgefrischt
said-is-here = ist da
said-preflight = Prüfung
said-transferring = Übertragung
said-final-delta = letzte Änderungen
said-power-off = Herunterfahren
said-guest-fixes = Anpassung an die neue Hardware
said-finalize = Abschluss am alten Platz
said-boot-target = Start am neuen Platz
said-verifying = Überprüfung
said-rolling-back = Rückkehr an den alten Platz
said-given-up = mit seiner Wartung aufgegeben
said-deleted = erledigt: der Server wurde gelöscht
said-moved-elsewhere = erledigt: der Server ist auf anderem Weg umgezogen
said-moved-while-off = erledigt: der Server war aus und ist inzwischen umgezogen; er bleibt aus, bis Sie ihn starten
said-moved-live = erledigt: er konnte doch im laufenden Betrieb umziehen
said-closed = abgeschlossen: der alte Platz ist geräumt
said-drill-ended = die Übung ist vorbei; mit dem Server ist nichts geschehen
said-adopted = war gewünscht, und nun braucht es auch eine Wartung
said-released = seine Wartung wurde abgesagt; was gewünscht war, bleibt
said-for-real = die Übung ist zu Ende: er soll wirklich umziehen
said-out-of-time = aufgegeben: es war nicht rechtzeitig möglich
said-confirmed-by-itself = von selbst bestätigt: die Zeit zum Zurückgehen ist vorbei
said-shaped-back = sieht aus wie vorher
said-resolved = erledigt, ohne einen Neustart durch uns
said-windows-server = Ihr Zeitfenster für diesen Server
said-windows-label = Ihr Zeitfenster für dieses Merkmal
said-windows-account = Ihr Zeitfenster
said-windows-default = die üblichen Zeiten

# Was geschah, wie es Inhaber lesen: ein Satz, der nach dem Namen des Servers weitergeht.
by-operator = einem Mitarbeiter
by-owner = { $name }
by-drover = Drover
event-fell-back = muss neu gestartet werden, um umzuziehen. { $why }
event-proposed = Ticket: { $at } vorgeschlagen
event-rescheduled = auf { $at } verlegt, von { $by }
event-declined = { $at } abgelehnt, von { $by }
event-withdrawn = { $at } gilt nicht mehr: { $why }
event-accepted = Zeit angenommen, von { $by }
event-start-now = soll jetzt beginnen; gewünscht von { $by }
event-start-now-guest = soll jetzt beginnen; gewünscht von { $by }, durch ein Programm im Server
event-missed = hat seine Zeit verpasst: { $at }
event-phase-done = { $phase }: dauerte { $took }
event-phase-sent = { $phase }: dauerte { $took }, { $sent } übertragen
event-not-moved = { $method ->
    [live] Umzug im laufenden Betrieb
   *[reboot] Umzug mit Neustart
} nicht gelungen: { $why }
event-moved = { $method ->
    [live] im laufenden Betrieb umgezogen
   *[reboot] mit einem Neustart umgezogen
}
event-moved-after = { $method ->
    [live] im laufenden Betrieb umgezogen, stand
   *[reboot] mit einem Neustart umgezogen, stand
} { $for } still
event-asked-for = soll umziehen: { $at }; gewünscht von { $by }
event-drill-asked-for = eine Übung: { $at }; gewünscht von { $by }
event-drill-began = eine Übung sagt, er sei aus, bis { $at }
event-cancelled = abgesagt von { $by }
event-confirmed = bestätigt von { $by }
event-reverting = soll an den alten Platz zurück; gewünscht von { $by }
event-reverting-with-loss = soll an den alten Platz zurück; gewünscht von { $by }, unter Verzicht auf das, was er seither auf seine lokalen Festplatten geschrieben hat
event-reverted = ist wieder am alten Platz, durch Umzug { $through }
event-not-reverted = bleibt, wo er ist: Umzug { $through }, der ihn zurückbringen sollte, ist vorbei
event-copied-once = seine Festplatten sind einmal kopiert: { $sent }, dauerte { $took }
event-copy-ready = die Kopie seiner Festplatten ist bereit, { $lag } zurück
event-copy-stalled = die Kopie seiner Festplatten stockt: { $why }
event-copy-late = die Kopie seiner Festplatten ist { $lag } zurück
event-copy-caught-up = die Kopie seiner Festplatten hat aufgeholt: { $lag } zurück
event-copy-paused = die Kopie seiner Festplatten wurde angehalten, von { $by }
event-copy-resumed = die Kopie seiner Festplatten wird wieder aufgefrischt; gewünscht von { $by }
event-sync-asked-for = die Kopie seiner Festplatten soll aufgefrischt werden; gewünscht von { $by }
event-blueprint = bei seinem nächsten Start durch einen Umzug: { $what }; gewünscht von { $by }
event-shaped = sieht nun so aus, wie es für ihn festgelegt ist: { $what }
event-check = Prüfung: { $what }
event-finding = { $item }: { $verdict }
event-finding-seen = { $item }: { $verdict } ({ $seen })
event-both = { $one }; { $other }
event-test = Teststart: { $what }
event-test-asked-for = gewünscht von { $by }
event-test-frozen = Stand { $round } ist festgehalten, von { $at }
event-test-launched = { $name } läuft
event-test-alive = der Testgast lebt: { $sign }
event-test-alive-after = der Testgast lebt: { $sign }, { $after } nach seinem Start
event-test-and-well = { $alive }; alles, was geprüft wurde, ist in Ordnung
event-test-and-not-well = { $alive }; nicht in Ordnung ist aber: { $failed }
said-test-not-alive = der Testgast wurde nicht lebend gesehen
said-agent-answers = sein Gastagent antwortet
said-console-prints = seine Konsole gibt etwas aus
said-it-runs = er läuft
said-defined-and-off = eingerichtet, und aus
event-frozen = { $at } gilt nicht mehr: dafür wurde eine Sperre gesetzt ({ $freeze })
event-test-over = vorbei, und nichts ist davon übrig: { $why }
event-test-not-launched = er ließ sich nicht starten: { $why }
event-test-marked = { $result ->
    [passed] bestanden
   *[failed] nicht bestanden
}, nach Angabe von { $by }
said-nothing-retained = aufgegeben, denn seine alten Festplatten sind nicht mehr da, wie sie waren
said-armed = vorgemerkt
said-in-doubt = Klärung, wo er läuft
said-cleanup-start = was vom vorigen übrig ist, wird gelöscht
said-cleanup-end = vom vorigen ist nichts mehr übrig
said-snapshot-start = der letzte ganze Stand der Kopie wird festgehalten
said-launch-start = der Testgast wird gestartet
said-not-converging = sein Speicher ändert sich schneller, als er übertragen werden kann
said-aborted = auf Wunsch abgebrochen
said-refused-by-source = der Hypervisor, auf dem er läuft, lehnt es ab
said-refused-by-destination = am neuen Platz geht es nicht
said-unreachable = der neue Platz war nicht zu erreichen
said-lost-on-the-way = die Verbindung oder die Gegenseite fiel unterwegs aus
said-busy = libvirt war mit diesem Server beschäftigt
said-did-not-boot = er kam am neuen Platz nicht hoch
said-needs-power-cycle = seine Festplatten lassen sich erst lesen, wenn er einmal aus war
said-not-begun = es wurde nicht zu seiner Zeit begonnen
said-unexpected = ein unerwarteter Fehler
said-copied-too-late = seine Festplatten neu zu kopieren dauert länger als bis dahin
said-place-promised = der einzige Platz, der bleibt, ist dann anderen versprochen

# Was daraus wurde, und was daraus wird.
act-abort = Er wird angehalten.
act-retry = Er beginnt von Neuem.
act-force = Erzwungen.
act-approve = Vereinbart.
act-decline = Abgelehnt; eine andere Zeit wird vorgeschlagen.
act-reschedule = Auf die Zeit verlegt, die Sie gewählt haben.
act-start = Es geht los.
act-cancel = Abgesagt.
act-confirm = Bestätigt. Vielen Dank.
act-revert = Er wird zurückgebracht.
act-sync = Als Nächstes wird die Kopie aufgefrischt.
act-pause = Angehalten.
act-resume = Die Kopie wird wieder aufgefrischt.
act-test = Der Test beginnt gleich.
act-end-test = Der Test wird beendet.
act-noted = Notiert.
out-retry = Der Umzug wird neu geplant, an einen Platz, der jetzt frei ist.
out-approve = Der Server zieht zur vorgeschlagenen Zeit um.
out-approve-stays = Bis kurz vorher lässt sich die Zeit noch ändern.
out-decline = Die vorgeschlagene Zeit wird aufgegeben.
out-decline-next = Gleich wird eine andere vorgeschlagen.
out-reschedule = Der Server zieht zu der Zeit um, die Sie wählen.
out-sync = Die Kopie wird gleich aufgefrischt.
out-sync-stays = Der Server läuft weiter.
out-pause = Die Kopie wird nicht mehr aufgefrischt und fällt zurück.
out-test = Eine Kopie des Servers wird am neuen Platz gestartet, ohne Verbindung zu seinem Netz.
out-test-before = Ein Test, der noch läuft, wird vorher beendet, und seine Festplatten werden gelöscht.
out-test-stays = Der Server selbst bleibt unberührt, und seine Kopie wird weiter aufgefrischt.
out-end-test = Der Testserver wird ausgeschaltet, und seine Festplatten werden gelöscht.
out-noted = Es wird notiert.
out-noted-seen = Es wird notiert, und unsere Mitarbeiter sehen es.
out-noted-stays = Am Umzug ändert es nichts.
f-opens = Öffnet sich
f-how-long = Für wie lange
f-what-is-it = Was ist es?
f-at-most = Höchstens
f-tongue = Sprache
f-now-hint = Leer: jetzt.
wish-all = alle Server
wish-at-most = { $n ->
    [one] höchstens einer zugleich
   *[other] höchstens { $n } zugleich
}
wish-server = Server { $what }
without-opening = { $what } kann vor seiner Frist nicht neu gestartet werden: Ihre Zeitfenster und Sperren lassen keine Zeit dafür. Öffnen Sie mehr, oder kürzen Sie eine Sperre. Die Frist ist
calendar-unread = Der Kalender war zuletzt nicht zu erreichen; bis dahin gilt, was zuvor darin stand.
wish-once = einmal
wish-set = Es gilt von jetzt an. Zeiten, die vorher vereinbart waren, bleiben.
wish-removed = Entfernt. Zeiten, die vorher vereinbart waren, bleiben.
mail-came-back = Post an { $what } kam kürzlich zurück. Sehen Sie nach, ob die Adresse stimmt.
saved = Gespeichert.
message-in = Ihre Nachricht steht im Ticket.
message-not-sent = Ihre Nachricht wurde nicht gesendet
back-there = Zurück, wo Sie waren
sign-in-other = Als jemand anderes anmelden
to-first-page = Zur ersten Seite
send-again = Senden, was Sie geschrieben haben?
send-again-lead = Ihre Sitzung war vorbei, als Sie es gesendet haben; geschehen ist also noch nichts. Sie sind wieder angemeldet.
move-it = Umziehen
move-by-restart = Mit einem Neustart umziehen
move-place = Auf anderer Hardware wird ein Platz reserviert.
move-then = Zu der Zeit, die Sie wählen, oder jetzt, wird der Server heruntergefahren und dort gestartet.
move-checked = Er wird überprüft, und Sie bekommen Nachricht.
move-stays = Bis dahin läuft er weiter wie bisher, und Sie können es absagen.
move-asked = Der Umzug ist vorgemerkt.
f-note = Wofür ist er?
f-note-hint = Zum Beispiel Sicherung: daran erkennen Sie ihn wieder.
token-revoked = Er gilt ab sofort nicht mehr.
token-lost = Der Token wurde ausgestellt, als Sie das zum ersten Mal gesendet haben, und wird nicht zweimal gezeigt. Wenn Sie ihn nicht aufbewahrt haben, widerrufen Sie ihn, und stellen Sie einen anderen aus.

# Kinds of messages, what became of them, what a server is looked at for, and how a test stands: by the scheduler's stable words.
notice-proposed = Zeit vorgeschlagen
notice-reminder = Erinnerung
notice-rescheduled = Zeit geändert
notice-accepted = Zeit angenommen
notice-missed = Zeit verpasst
notice-started = begonnen
notice-done = erledigt
notice-not-seen-alive = nicht lebend gesehen
notice-checks-failed = Prüfung nicht bestanden
notice-rolled-back = zurückgerollt
notice-cancelled = abgesagt
notice-avoided = nicht mehr nötig
notice-emergency = Notfall
notice-no-slot = keine Zeit gefunden
notice-requested = gewünscht
notice-needed = von einer Wartung gebraucht
notice-given-up = aufgegeben
notice-confirmed = bestätigt
notice-reverting = geht zurück
notice-reverted = zurückgegangen
notice-written = Nachricht
notice-answered = Antwort
channel-mail = Mail
delivery-waiting = unterwegs
delivery-delivered = zugestellt
delivery-undeliverable = unzustellbar
check-power = Betriebszustand
check-life = Lebenszeichen
check-addresses = Adressen
check-interfaces = Netzschnittstellen
check-disks = Festplatten
verdict-passed = in Ordnung
verdict-failed = nicht in Ordnung
verdict-failed-before = nicht in Ordnung, wie schon vor dem Umzug
verdict-not-looked = nicht geprüft
test-state-asked = gewünscht
test-state-cleaning-up = wird vorbereitet
test-state-freezing = Stand der Festplatten wird festgehalten
test-state-launching = wird gestartet
test-state-checking = wird geprüft
test-state-running = läuft
test-state-ending = wird beendet
test-state-over = vorbei
