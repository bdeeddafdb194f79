# Die Wörter, die außerhalb der Vorlagen zusammengesetzt werden. Erklärt sind sie in der englischen Datei.

weekday = { $weekday ->
    [1] Montag
    [2] Dienstag
    [3] Mittwoch
    [4] Donnerstag
    [5] Freitag
    [6] Samstag
   *[7] Sonntag
}
month = { $month ->
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
date = { weekday }, { $day }. { month } { $year }

zoned = { $clock } Uhr { $zone }
moment = { $date }, { $clock }
stretch = { $date }, { $from } bis { $until }
stretch-over-days = { $date }, { $from } bis { $until-date }, { $until }
ends-another-day = Beginn ist am { $from }, Ende am { $until }.
clocks-change = Dazwischen werden die Uhren umgestellt.

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
two-units = { $greater } { $lesser }
about = etwa { $span }
about-a-minute = etwa eine Minute
a-few-seconds = einige Sekunden
less-than-a-second = weniger als eine Sekunde

# Mit dem „von“ davor.
by-reader = von Ihnen
by-operators = von unseren Administratoren
by-account = vom Konto { $account }
by-scheduler = von unserem Planungssystem

said-owner-forbids = Sie haben festgelegt, dass dieser Server nicht im laufenden Betrieb verschoben wird.
said-policy-forbids = Server dieser Art werden nicht im laufenden Betrieb verschoben.
said-owner-asked-for-reboot = Sie haben um einen Umzug mit Neustart gebeten.
said-block-job = Auf seiner Festplatte { $disk } läuft eine Sicherung oder Kopie, und solange kann ein Server nicht im laufenden Betrieb verschoben werden.
said-unsafe-cache = Seine Festplatte { $disk } verwendet den Cache-Modus { $cache }, bei dem im laufenden Betrieb Daten verloren gehen könnten.
said-local-disks = Seine Festplatten liegen auf der Hardware, auf der er läuft.
said-not-running = Der Server ist ausgeschaltet; der Umzug unterbricht also nichts.
said-paused = Der Server ist angehalten, und nur ein laufender Server kann ohne Neustart verschoben werden.
said-lost-by-libvirt = Die Software, auf der er läuft, hat die Verbindung zu ihm verloren; nur ein Neustart stellt sie wieder her.
said-live-not-converging = Sein Arbeitsspeicher ändert sich schneller, als er kopiert werden kann. Ein Server mit weniger Last oder weniger Arbeitsspeicher kann im laufenden Betrieb umziehen.
said-live-failed = Der Umzug im laufenden Betrieb wurde versucht und ist nicht gelungen, ohne den Server zu beeinträchtigen; mit einem aktuellen Kernel in ihm und weniger benutztem Arbeitsspeicher gelingt es eher.

said-failed-not-converging = Sein Arbeitsspeicher ändert sich schneller, als er übertragen werden kann
said-failed-aborted = Der Umzug wurde auf Wunsch abgebrochen
said-failed-refused-by-source = Der Hypervisor, auf dem er läuft, lehnt es ab
said-failed-refused-by-destination = Die neue Hardware kann ihn nicht aufnehmen
said-failed-unreachable = Die neue Hardware war nicht erreichbar
said-failed-lost-on-the-way = Die Verbindung oder die Gegenseite ist während des Umzugs ausgefallen
said-failed-busy = Ein anderer Vorgang war noch mit diesem Server beschäftigt
said-failed-did-not-boot = Er ist auf der neuen Hardware nicht hochgefahren
said-failed-unexpected = Ein unerwarteter Fehler ist aufgetreten

said-missed-paused = Die Wartung war angehalten
said-missed-busy = Andere Umzüge auf derselben Hardware haben länger gedauert als erwartet
said-missed-no-room = Zu dieser Zeit war nirgends Platz für den Server
said-missed-copy = Die Kopie seiner Festplatten war nicht rechtzeitig auf dem neuesten Stand
said-missed-blocked = Etwas am Server selbst stand dem Umzug im Weg
said-missed-unreachable = Die Hardware, auf der er läuft, war nicht erreichbar
said-missed-over = Die Zeit war schon vorbei, als unser Planungssystem wieder danach sah

said-window-server = Ihr Wartungsfenster für diesen Server
said-window-label = Ihr Wartungsfenster für Server mit dieser Markierung
said-window-account = Ihr Wartungsfenster
said-window-default = unsere üblichen Wartungsfenster
said-window-none-fits = die letzte Zeit vor dem spätesten Termin, denn früher passt nichts in die Wartungsfenster
said-window-drill = die Zeit, die für die Übung gewählt wurde

said-notice-too-long = Unsere Ankündigungsfrist von { $notice } endet erst nach dem spätesten Termin ({ $deadline })
said-no-stretch = Zwischen dem Ende der Ankündigungsfrist ({ $notice } ab jetzt) und dem spätesten Termin ({ $deadline }) sind { $length } am Stück nirgends frei und offen – geprüft wurde: { $window }

said-seen-unknown = Der Hypervisor kennt ihn dort nicht
said-seen-not-asked = Der Hypervisor konnte nicht gefragt werden: { $why }
said-seen-went-off = Er lief und ging aus, während wir zusahen
said-seen-just-begun = Er hat gerade erst zu laufen begonnen

said-look-running = läuft
said-look-off = ausgeschaltet, wie zuvor
said-look-agent = sein Gastagent antwortet
said-look-console = seine Konsole gibt etwas aus
said-look-no-sign = er hat weder einen Gastagenten noch eine Konsole, die aufgezeichnet wird
said-look-addresses = { $addresses }, wie zuvor
said-look-count = { $count }, wie zuvor
said-look-lost = { $addresses }; es fehlt: { $lost }
said-look-no-addresses = weder er selbst noch die Hardware nennt eine
said-look-open = TCP-Port { $port } ist offen
said-look-expected = Status { $status } statt { $expected }
said-look-refused = { $what }: Verbindung abgelehnt
said-look-silent = { $what }: keine Antwort

said-back-closed = Wo er war, ist die Hardware für Wartungsarbeiten gesperrt
said-back-unreachable = Wo er war, ist die Hardware derzeit nicht erreichbar
said-back-full = Wo er war, ist kein Platz mehr
said-back-kept-away = Wo er war, stehen ihm Server entgegen, die jetzt dort sind (sein Name oder Regeln, welche beisammen sein dürfen)
said-back-unsuited = Wo er war, passt die Hardware nicht mehr zu ihm
said-back-there = Er ist schon, wo er war
said-back-other-could = Andere Hardware könnte ihn aufnehmen: Bitten Sie darum mit migrate
said-back-none-could = Derzeit könnte ihn auch keine andere Hardware aufnehmen; versuchen Sie es später noch einmal
said-back-live = Ein Server, der im laufenden Betrieb umgezogen ist, zieht nicht von selbst zurück, denn dafür müsste er neu gestartet werden

said-asked-accept = den vorgeschlagenen Termin annehmen
said-asked-now = jetzt beginnen
said-asked-move = verschieben auf { $time }
said-asked-no-reminders = keine Erinnerungen mehr senden
said-refused-begun = Der Umzug hat schon begonnen; sein Termin lässt sich nicht mehr ändern
said-refused-nothing-proposed = Zurzeit ist kein Termin vorgeschlagen; wählen Sie einen, oder antworten Sie „now“
said-refused-too-close = Er beginnt am { $start }, und so kurz davor lässt er sich nicht mehr verschieben; antworten Sie „now“, oder warten Sie sein Ende ab
said-refused-too-soon = Das ist zu früh; wählen Sie { $earliest } oder später, oder antworten Sie „now“
said-refused-too-late = Das ist zu spät: Bis { $deadline } muss der Umzug abgeschlossen sein; wählen Sie { $latest } oder früher
said-refused-taken = Dieser Termin ist vergeben: Die Hardware ist dann mit anderen Umzügen beschäftigt
said-refused-excluded = An diesem Tag geschieht nichts ({ $name })
said-refused-no-such-day = { $said } ist kein Tag, den wir verstehen; schreiben Sie zum Beispiel 2026-12-03
