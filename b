{"schema":"apus-error","version":1,"kind":"usage","message":"--json is given twice, but there is only one value for it","file":null,"exitCode":64}
