; The video BIOS as the expansion ROM of the standard VGA with Bochs' display interface.

%define PCI_VENDOR 0x1234
%define PCI_DEVICE 0x1111
%include "vgabios.asm"
