// The differentiated system description table of board `pc`: 82441FX, 82371SB, and the 82371AB's power management.
//
// It owns: what is on the board, how PCI's interrupts are routed, the sleep states. It must not know: how much memory there is, how many
// ports: whoever makes a machine's tables writes these facts over the values of the first two names. Processors are in a table of their own.
// Follows: ACPI specification 1.0b, as Windows 2000's interpreter knows it: nothing of later versions is used, and integers have 32 bits.
//
// Only the definition block's body is taken from the compiled file; its header is written by whoever places the table.

DefinitionBlock ("dsdt.aml", "DSDT", 1, "APUS", "APUSPC", 1)
{
    Name (FACT, 0x5A5A5A5A)         // what is there: see isa.asl
    Name (TOPM, 0xA5A5A5A5)         // where RAM below 4 GiB ends

    // Told by the system: 0 interrupt controllers of the AT, 1 APIC.
    Name (\PICM, 0)
    Method (\_PIC, 1)
    {
        Store (Arg0, \PICM)
    }

    // SUS_TYP of the 82371AB: 5 working, 0 off.
    Name (\_S0, Package () { 5, 5, 0, 0 })
    Name (\_S5, Package () { 0, 0, 0, 0 })

    Include ("pci.asl")
    Include ("links.asl")
}
