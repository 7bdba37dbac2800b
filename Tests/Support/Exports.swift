// What stands alone, so that suites of the lower modules have it without a machine.

@_exported import ToolSupport
